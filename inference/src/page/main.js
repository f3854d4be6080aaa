// The page where a person tries the model: a picture in, its boxes out. It asks nothing but the service it comes from.
// @ts-check
import { draw } from "./draw.js";

/** @template {HTMLElement} T @param {string} id @param {new () => T} type @returns {T} */
function byId(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`the page has no ${id}`);
  return element;
}

const drop = byId("drop", HTMLElement);
const invitation = byId("invitation", HTMLElement);
const file = byId("file", HTMLInputElement);
const video = byId("video", HTMLVideoElement);
const shoot = byId("shoot", HTMLButtonElement);
const stage = byId("stage", HTMLElement);
const canvas = byId("canvas", HTMLCanvasElement);
const message = byId("message", HTMLElement);
const speed = byId("speed", HTMLElement);
const results = byId("results", HTMLTableElement);
const conf = byId("conf", HTMLInputElement);
const iou = byId("iou", HTMLInputElement);
const key = byId("key", HTMLInputElement);

/**
 * The lowest confidence that is asked for: above it the slider needs no new answer.
 */
const asked = 0.01;

/** @typedef {{ name: string, class: number, confidence: number, box: { x1: number, y1: number, x2: number, y2: number } }} Detection */

/** @type {{ blob: Blob, bitmap: ImageBitmap, detections: Detection[] } | undefined} */
let shown;
/** @type {AbortController | undefined} */
let running;

/** @param {string} text @param {boolean} [bad] */
function say(text, bad = false) {
  message.textContent = text;
  message.classList.toggle("bad", bad);
}

/** Draws the picture with the detections that are sure enough, and lists them. */
function show(highlight = -1) {
  if (!shown) return;
  const sure = shown.detections.filter(({ confidence }) => confidence >= Number(conf.value));
  draw(canvas, shown.bitmap, sure, highlight);
  if (highlight >= 0) return;
  const names = new Map();
  for (const { name } of sure) names.set(name, (names.get(name) ?? 0) + 1);
  const summary = [...names].map(([name, count]) => `${count} × ${name}`).join(", ");
  canvas.setAttribute("aria-label", `The picture with ${sure.length} boxes${summary ? `: ${summary}` : ""}`);
  say(sure.length === 0 ? "Nothing was found with this confidence." : `${sure.length} found: ${summary}`);
  const body = results.tBodies[0];
  body?.replaceChildren(
    ...sure.map(({ name, confidence, box }, i) => {
      const row = document.createElement("tr");
      row.tabIndex = 0;
      for (const text of [
        name,
        `${(confidence * 100).toFixed(1)} %`,
        `${Math.round(box.x1)}, ${Math.round(box.y1)} – ${Math.round(box.x2)}, ${Math.round(box.y2)}`,
      ]) {
        const cell = document.createElement("td");
        cell.textContent = text;
        row.append(cell);
      }
      for (const event of ["focus", "mouseenter"]) row.addEventListener(event, () => show(i));
      for (const event of ["blur", "mouseleave"]) row.addEventListener(event, () => draw(canvas, /** @type {any} */ (shown).bitmap, sure, -1));
      return row;
    }),
  );
  results.hidden = sure.length === 0;
}

/** @param {Blob} blob */
async function predict(blob) {
  running?.abort();
  const controller = (running = new AbortController());
  say("Looking …");
  try {
    const bitmap = await createImageBitmap(blob, { imageOrientation: "from-image" });
    const form = new FormData();
    form.set("file", blob, "picture");
    const query = new URLSearchParams({ conf: String(asked), iou: iou.value });
    const started = performance.now();
    const response = await fetch(`/predict?${query}`, {
      method: "POST",
      body: form,
      signal: controller.signal,
      headers: { Accept: "application/json", ...(key.value ? { "X-API-Key": key.value } : {}) },
    });
    const whole = performance.now() - started;
    const answer = await response.json();
    if (response.status === 401) byId("key-row", HTMLElement).hidden = false;
    if (!response.ok) return say(answer.error?.message ?? `The service answered ${response.status}.`, true);
    const [image] = answer.images;
    const { name, version, sha256 } = answer.metadata.model;
    byId("model", HTMLElement).textContent = `${name}, version ${version} (${sha256.slice(0, 8)})`;
    shown = { blob, bitmap, detections: image.results };
    stage.hidden = false;
    invitation.textContent = "Another one: drop, paste, or";
    speed.textContent = `${whole.toFixed(0)} ms: ${image.speed.preprocess.toFixed(1)} ms to decode, ${image.speed.inference.toFixed(1)} ms in the network, ${image.speed.postprocess.toFixed(1)} ms for the boxes`;
    show();
  } catch (error) {
    if (controller.signal.aborted) return;
    say(
      error instanceof DOMException && error.name === "InvalidStateError"
        ? "This is not a picture that a browser can show."
        : `That did not work: ${String(error)}`,
      true,
    );
  }
}

file.addEventListener("change", () => {
  const picture = file.files?.[0];
  if (picture) predict(picture);
  // The same file can be chosen again.
  file.value = "";
});
for (const event of ["dragenter", "dragover"])
  drop.addEventListener(event, (each) => {
    each.preventDefault();
    drop.classList.add("over");
  });
for (const event of ["dragleave", "drop"]) drop.addEventListener(event, () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  const picture = event.dataTransfer?.files[0];
  if (picture) predict(picture);
});
document.addEventListener("paste", (event) => {
  const picture = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
  if (picture) predict(picture);
});

conf.addEventListener("input", () => {
  byId("conf-value", HTMLOutputElement).value = Number(conf.value).toFixed(2);
  show();
});
iou.addEventListener("input", () => (byId("iou-value", HTMLOutputElement).value = Number(iou.value).toFixed(2)));
iou.addEventListener("change", () => shown && predict(shown.blob));
key.addEventListener("change", () => shown && predict(shown.blob));

/** @type {MediaStream | undefined} */
let stream;
function stopCamera() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = undefined;
  video.hidden = shoot.hidden = true;
}
byId("camera", HTMLButtonElement).addEventListener("click", async () => {
  if (stream) return stopCamera();
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    video.srcObject = stream;
    await video.play();
    video.hidden = shoot.hidden = false;
    shoot.focus();
  } catch (error) {
    stopCamera();
    say(`The camera cannot be used: ${error instanceof Error ? error.message : String(error)}`, true);
  }
});
shoot.addEventListener("click", () => {
  const frame = document.createElement("canvas");
  frame.width = video.videoWidth;
  frame.height = video.videoHeight;
  frame.getContext("2d")?.drawImage(video, 0, 0);
  stopCamera();
  frame.toBlob((blob) => blob && predict(blob), "image/jpeg", 0.92);
});

/** Says which model serves, and that none does. */
async function ready() {
  const status = await fetch("/readyz").then((response) => response.json());
  byId("model", HTMLElement).textContent = status.model
    ? `${status.model.name}, version ${status.model.version} (${status.model.sha256.slice(0, 8)})`
    : `No model serves yet${status.problem ? `: ${status.problem}` : ""}. Trigger training_pipeline in Airflow.`;
}
ready().catch(() => say("The service cannot be reached.", true));
