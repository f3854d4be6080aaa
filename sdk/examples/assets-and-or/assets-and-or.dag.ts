import { allOf, anyOf, asset, dag, task } from "airloom";

const orders = asset("orders");
const refunds = asset("refunds");
const rates = asset("rates");

const report = task("report", {}, async () => 1);

export default dag("assets_and_or", { schedule: allOf(rates, anyOf(orders, refunds)), startDate: "2026-01-01" }, () => {
  report({});
});
