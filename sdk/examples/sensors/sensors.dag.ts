import { dag, notYet, sensor } from "airloom";

const ready = async (input: { path: string }) => (input.path === "" ? notYet("nothing there") : { path: input.path });

const waitLong = sensor("wait_long", { pokeInterval: "1m", timeout: "12h", softFail: true }, ready);
const waitHere = sensor("wait_here", { waiting: "poke", pokeInterval: "5s", timeout: "2m" }, ready);
const waitMore = sensor("wait_more", { pokeBackoff: true, maxPokeInterval: "10m" }, ready);

export default dag("sensors", { schedule: null }, () => {
  const first = waitLong({ path: "/data/a" });
  waitHere({ path: first.path });
  waitMore({ path: "/data/b" });
});
