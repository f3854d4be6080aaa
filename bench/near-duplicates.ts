// Near-duplicates: how many planted ones are found, how many pictures are wrongly taken for another, and how long it takes.
//
//   node --import tsx bench/near-duplicates.ts [pictures] [originals] [rows] [photo …]
//
// Distinct pictures are drawn; photos, where files are named, are cut into tiles that do not overlap, which are distinct too.
import sharp from "sharp";
import { bandsOf, type Search, searchFor } from "../dataset-platform/src/groups/near.ts";
import { type PictureHashes, pictureHashes } from "../dataset-platform/src/groups/perceptual-hash.ts";
import { asSharp, type Drawn, drawVaried } from "../dataset-platform/test/groups/drawn-pictures.ts";
import { otherObject, plants } from "../dataset-platform/test/groups/planted.ts";
import { drawPicture } from "../scripts/demo/draw.ts";
import { mixSeeds, seededRandom } from "../yolo/src/augment/random.ts";

const [pictures = "2000", originals = "60", rows = "1000000", ...photos] = process.argv.slice(2);
sharp.concurrency(1);

interface Named {
  readonly kind: string;
  readonly hashes: PictureHashes;
}

const entry = ({ band, value }: { band: number; value: number }): number => band * 2 ** 24 + value;
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

async function tilesOf(file: string, width: number, height: number): Promise<Drawn[]> {
  const { data, info } = await sharp(file).toColourspace("srgb").removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const tiles: Drawn[] = [];
  for (let top = 0; top + height <= info.height; top += height)
    for (let left = 0; left + width <= info.width; left += width) {
      const tile = sharp(data, { raw: { width: info.width, height: info.height, channels: 3 } }).extract({ left, top, width, height });
      tiles.push({ data: await tile.raw().toBuffer(), width, height });
    }
  return tiles;
}

const png = (drawn: Drawn) => asSharp(drawn).png({ compressionLevel: 1 }).toBuffer();

async function measureRecall(): Promise<void> {
  const cases: { kind: string; drawn: Drawn }[] = [];
  for (let i = 0; i < Number(originals); i++) cases.push({ kind: "drawn", drawn: await drawVaried(100_000 + i) });
  const tiles: { kind: string; drawn: Drawn }[] = [];
  for (const file of photos) for (const drawn of await tilesOf(file, 200, 160)) tiles.push({ kind: "photo", drawn });
  const every = Math.max(1, Math.floor(tiles.length / Number(originals)));
  cases.push(...tiles.filter((_, i) => i % every === 0));
  console.log(`recall, of ${cases.length} originals: looked up and confirmed, where the changed picture is the new one; and where the original is`);
  for (const [index, [name, change]] of Object.entries({ ...plants, "(another object)": otherObject }).entries()) {
    const found: Record<string, [number, number, number]> = {};
    for (const [i, { kind, drawn }] of cases.entries()) {
      const original = await pictureHashes(await png(drawn));
      const changed = await pictureHashes(await change(drawn, seededRandom(mixSeeds(i, index))));
      const count = (found[kind] ??= [0, 0, 0]);
      count[0]++;
      if (finds(changed, original)) count[1]++;
      if (finds(original, changed)) count[2]++;
    }
    const shares = Object.entries(found).map(([kind, [all, one, other]]) => `${kind} ${(one / all).toFixed(3)} ${(other / all).toFixed(3)}`);
    console.log(`  ${name.padEnd(26)} ${shares.join("   ")}`);
  }
}

function finds(picture: PictureHashes, stored: PictureHashes): boolean {
  const search = searchFor(picture);
  const probes = new Set(search.probes.map(entry));
  return bandsOf(stored).some((band) => probes.has(entry(band))) && search.isNear(stored);
}

async function distinctSets(): Promise<Record<string, PictureHashes[]>> {
  const drawn: PictureHashes[] = [];
  for (let i = 0; i < Number(pictures); i++) drawn.push(await pictureHashes(await png(await drawVaried(i))));
  const demo: PictureHashes[] = [];
  for (let i = 0; i < Number(pictures); i++) demo.push(await pictureHashes((await drawPicture(i)).jpeg));
  const sets: Record<string, PictureHashes[]> = { drawn, demo };
  for (const file of photos) for (const tile of await tilesOf(file, 100, 80)) (sets["photo tiles"] ??= []).push(await pictureHashes(await png(tile)));
  return sets;
}

/** Looks each picture of a set up among all the others, as the platform would. */
function measureFalseAlarms(name: string, set: readonly PictureHashes[]): void {
  const index = indexOf(set);
  const wrong = new Set<number>();
  let [candidates, pairs] = [0, 0];
  for (const [i, hashes] of set.entries()) {
    const search = searchFor(hashes);
    for (const j of lookUp(index, search))
      if (j !== i) {
        candidates++;
        if (!search.isNear(set[j]!)) continue;
        pairs++;
        wrong.add(i).add(j);
        if (pairs <= 10) console.log(`    ${name} ${i} ~ ${j}`);
      }
  }
  const share = ((100 * wrong.size) / set.length).toFixed(2);
  console.log(
    `  ${name.padEnd(12)} ${set.length} pictures: ${wrong.size} in a wrong group (${share} %), ${pairs} of ${set.length * (set.length - 1)} ordered pairs; ${(candidates / set.length / set.length) * 1e6} candidates in 1e6 rows`,
  );
}

function indexOf(set: readonly PictureHashes[]): Map<number, number[]> {
  const index = new Map<number, number[]>();
  for (const [i, hashes] of set.entries())
    for (const band of bandsOf(hashes)) {
      const at = index.get(entry(band));
      if (at) at.push(i);
      else index.set(entry(band), [i]);
    }
  return index;
}

function lookUp(index: ReadonlyMap<number, readonly number[]>, search: Search): Set<number> {
  const found = new Set<number>();
  for (const probe of search.probes) for (const i of index.get(entry(probe)) ?? []) found.add(i);
  return found;
}

/** Fills an index with blends of two pictures each, which are as alike as the pictures are. */
function measureLookup(set: readonly Named[], count: number): void {
  const random = seededRandom(1);
  const index = new Map<number, number[]>();
  const looks: PictureHashes[] = [];
  for (let i = 0; i < count; i++) {
    const [a, b] = [set[Math.floor(random() * set.length)]!.hashes, set[Math.floor(random() * set.length)]!.hashes];
    const share = random();
    const look = Buffer.from(a.look);
    for (let at = 4; at < 404; at++) look[at] = a.look[at]! * share + b.look[at]! * (1 - share);
    const hashes = { ...a, pixels: "", look };
    if (looks.length < 20_000) looks.push(hashes);
    for (const band of bandsOf(hashes)) {
      const at = index.get(entry(band));
      if (at) at.push(i);
      else index.set(entry(band), [i]);
    }
  }
  // Of processor, so that what else the machine does is not in it.
  const now = () => process.cpuUsage().user / 1000;
  const times: Record<"search" | "look up" | "check", number[]> = { search: [], "look up": [], check: [] };
  const found: number[] = [];
  const probes: number[] = [];
  for (let i = 0; i < 100; i++) {
    const started = now();
    const search = searchFor(set[Math.floor(random() * set.length)]!.hashes);
    const searched = now();
    const candidates = lookUp(index, search);
    const lookedUp = now();
    for (const j of candidates) search.isNear(looks[j % looks.length]!);
    times.search.push(searched - started);
    times["look up"].push(lookedUp - searched);
    times.check.push(now() - lookedUp);
    found.push(candidates.size);
    probes.push(search.probes.length);
  }
  const times_ = Object.entries(times).map(([name, values]) => `${name} ${median(values).toFixed(1)} ms`);
  const most = found.toSorted((a, b) => a - b);
  console.log(
    `${count} rows in memory, medians: ${times_.join(", ")}; ${median(probes)} probes, ${median(found)} candidates (90 %: ${most[89]}, most: ${most[99]})`,
  );
}

async function measureTime(): Promise<void> {
  const large = await sharp((await drawVaried(3, 1280, 960)).data, { raw: { width: 1280, height: 960, channels: 3 } })
    .resize(4000, 3000)
    .jpeg({ quality: 90 })
    .toBuffer();
  for (const [name, jpeg] of Object.entries({ "320 × 240": (await drawPicture(1)).jpeg, "4000 × 3000": large })) {
    const times: Record<string, number[]> = { stats: [], decode: [], hashes: [] };
    for (let i = 0; i < 7; i++) {
      let started = performance.now();
      await sharp(jpeg).stats();
      times["stats"]!.push(performance.now() - started);
      started = performance.now();
      await sharp(jpeg).raw().toBuffer();
      times["decode"]!.push(performance.now() - started);
      started = performance.now();
      await pictureHashes(jpeg);
      times["hashes"]!.push(performance.now() - started);
    }
    console.log(
      `${name}: stats() ${median(times["stats"]!).toFixed(1)} ms, decoding ${median(times["decode"]!).toFixed(1)} ms, pictureHashes ${median(times["hashes"]!).toFixed(1)} ms`,
    );
  }
}

await measureTime();
await measureRecall();
console.log("false alarms: pictures that were taken for another one of a set in which all are distinct");
const sets = await distinctSets();
for (const [name, set] of Object.entries(sets)) measureFalseAlarms(name, set);
if (Object.keys(sets).length > 1) measureFalseAlarms("all", Object.values(sets).flat());
measureLookup(
  Object.entries(sets).flatMap(([kind, set]) => set.map((hashes) => ({ kind, hashes }))),
  Number(rows),
);
