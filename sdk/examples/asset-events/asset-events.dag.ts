import { asset, assetAlias, dag, task } from "airloom";

const orders = asset("orders", { group: "shop", extra: { owner: "sales" } });
const parts = assetAlias("parts");

const load = task("load", { outlets: [orders, parts] }, async (_input: object, { emit }) => {
  await emit(orders, { rows: 120 });
  await emit(parts, { to: asset("part-7"), extra: { rows: 7 } });
});

const report = task("report", { inlets: [orders] }, async (_input: object, { inletEvents, triggeringEvents }) => {
  const events = await inletEvents(orders);
  return { rows: events.map((event) => event.extra["rows"] ?? null), startedBy: Object.keys(await triggeringEvents()) };
});

export default dag("asset_events", { schedule: null }, () => {
  report({}, { after: load({}) });
});
