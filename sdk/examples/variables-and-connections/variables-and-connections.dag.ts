import { dag, task } from "airloom";

const fetchRates = task("fetch_rates", {}, async (_input: object, { getVariable, getConnection, maskSecret, log }) => {
  const currency = (await getVariable("currency")) ?? "EUR";
  const bank = await getConnection("bank");
  const token = bank?.extra["token"];
  if (typeof token === "string") await maskSecret(token);
  log.info("asking for rates", { currency, host: bank?.host ?? null });
  return { currency };
});

export default dag("variables_and_connections", { schedule: null }, () => {
  fetchRates({});
});
