import { asset, dag, task } from "airloom";

const orders = asset("orders", { uri: "s3://warehouse/orders" });
const customers = asset("customers", { uri: "s3://warehouse/customers" });

const join = task("join", {}, async () => 1);

export default dag("assets_all", { schedule: [orders, customers], startDate: "2026-01-01" }, () => {
  join({});
});
