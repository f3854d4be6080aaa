// The editor of one task's job: boxes are kept in the picture's own pixels, the SVG's view box does the scaling.
import { call, list, picture } from "./api.js";
import { el, say, svg } from "./dom.js";

const smallest = 3;

/** Shows the editor and returns a function that closes it. */
export async function openEditor(view, where, taskId) {
  const [task, meta, { shapes }, labels, [job]] = await Promise.all([
    call("GET", `/api/tasks/${taskId}`),
    call("GET", `/api/tasks/${taskId}/data/meta`),
    call("GET", `/api/tasks/${taskId}/annotations`),
    list(`/api/labels?task_id=${taskId}`),
    list(`/api/jobs?task_id=${taskId}`),
  ]);
  if (labels.length === 0) throw new Error("This project has no labels: add some to the conf of labeling_pipeline.");
  where.textContent = `${task.project_name ?? ""} / ${task.name}`;

  let frame = 0;
  let current = labels[0].id;
  let selected = null;
  let dirty = false;
  let drag = null;
  let url = null;
  let saving = Promise.resolve();

  const canvas = svg("svg", { role: "img", "aria-label": "Picture; drag to draw a box" });
  const counter = el("span", { "aria-live": "polite" });
  const labelList = el("ul", { class: "labels" });
  const boxList = el("ul", { class: "labels", id: "boxes" });
  const finish = el("button", { class: "primary", id: "finish", onclick: finishJob }, "Finish job");
  const state = el("span", { id: "state" });

  view.replaceChildren(
    el(
      "div",
      { class: "bar" },
      el("button", { onclick: () => show(frame - 1) }, "← Previous"),
      counter,
      el("button", { onclick: () => show(frame + 1) }, "Next →"),
      el("button", { id: "save", onclick: () => save() }, "Save"),
      finish,
      state,
    ),
    el(
      "div",
      { class: "editor" },
      el("div", { class: "stage" }, canvas),
      el(
        "aside",
        {},
        el("h2", {}, "Label"),
        labelList,
        el("h2", {}, "Boxes"),
        boxList,
        el(
          "ul",
          { class: "keys" },
          ...[
            ["drag", "draw, move or resize"],
            ["1…9", "label"],
            ["Tab", "next box"],
            ["arrows", "move box (Shift: resize)"],
            ["B", "new box in the middle"],
            ["Del", "delete box"],
            ["N, P", "next, previous picture"],
            ["Ctrl S", "save"],
          ].map(([k, what]) => el("li", {}, el("kbd", {}, k), ` ${what}`)),
        ),
      ),
    ),
  );

  const colour = (id) => labels.find((label) => label.id === id)?.color || "#e6194b";
  const name = (id) => labels.find((label) => label.id === id)?.name ?? "?";
  const here = () => shapes.filter((shape) => shape.frame === frame && shape.type === "rectangle");

  function draw() {
    const { width, height } = meta.frames[frame];
    canvas.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const handle = Math.max(width, height) / 90;
    const nodes = here().map((shape) => {
      const [x1, y1, x2, y2] = shape.points;
      const c = colour(shape.label_id);
      const box = svg("rect", { class: `box${shape === selected ? " selected" : ""}`, x: x1, y: y1, width: x2 - x1, height: y2 - y1, fill: c, stroke: c });
      box.shape = shape;
      const corners =
        shape !== selected
          ? []
          : [
              [0, 1],
              [2, 1],
              [0, 3],
              [2, 3],
            ].map(([i, j]) => {
              const node = svg("rect", { class: "handle", x: shape.points[i] - handle / 2, y: shape.points[j] - handle / 2, width: handle, height: handle });
              node.corner = [i, j];
              return node;
            });
      return [box, svg("text", { x: x1 + 2, y: Math.max(handle * 2, y1 - 3), "font-size": handle * 2, fill: c }, name(shape.label_id)), ...corners];
    });
    canvas.replaceChildren(svg("image", { href: url ?? "", width, height }), ...nodes.flat());
    counter.textContent = `Picture ${frame + 1} of ${meta.frames.length}`;
    state.textContent = job.state === "completed" ? "finished" : dirty ? "unsaved changes" : "";
    labelList.replaceChildren(
      ...labels.map((label, i) =>
        el(
          "li",
          {},
          el(
            "button",
            { "aria-pressed": String(label.id === current), style: `--colour: ${label.color || "#e6194b"}`, onclick: () => choose(i) },
            `${i + 1}  ${label.name}`,
          ),
        ),
      ),
    );
    boxList.replaceChildren(
      ...here().map((shape) =>
        el(
          "li",
          {},
          el(
            "button",
            { "aria-pressed": String(shape === selected), style: `--colour: ${colour(shape.label_id)}`, onclick: () => pick(shape) },
            `${name(shape.label_id)}, ${Math.round(shape.points[2] - shape.points[0])} × ${Math.round(shape.points[3] - shape.points[1])}`,
          ),
        ),
      ),
    );
  }

  function changed() {
    dirty = true;
    draw();
  }

  function pick(shape) {
    selected = shape;
    draw();
  }

  function choose(i) {
    if (!labels[i]) return;
    current = labels[i].id;
    if (selected) {
      selected.label_id = current;
      dirty = true;
    }
    draw();
  }

  const clamp = (value, most) => Math.min(most, Math.max(0, value));

  function at(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(canvas.getScreenCTM().inverse());
    const { width, height } = meta.frames[frame];
    return [clamp(point.x, width), clamp(point.y, height)];
  }

  const newShape = (points) => ({ type: "rectangle", frame, label_id: current, points });

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    const start = at(event);
    if (event.target.corner) drag = { kind: "resize", corner: event.target.corner };
    else if (event.target.shape) {
      selected = event.target.shape;
      drag = { kind: "move", start, points: [...selected.points] };
    } else {
      selected = null;
      drag = { kind: "draw", start };
    }
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const [x, y] = at(event);
    if (drag.kind === "resize") {
      selected.points[drag.corner[0]] = x;
      selected.points[drag.corner[1]] = y;
    } else if (drag.kind === "move") moveTo(selected, drag.points, x - drag.start[0], y - drag.start[1]);
    else {
      const points = [drag.start[0], drag.start[1], x, y];
      if (!drag.shape && Math.abs(x - drag.start[0]) >= smallest && Math.abs(y - drag.start[1]) >= smallest)
        shapes.push((selected = drag.shape = newShape(points)));
      if (!drag.shape) return;
      drag.shape.points = ordered(points);
    }
    changed();
  });
  canvas.addEventListener("pointerup", () => {
    if (selected) selected.points = ordered(selected.points);
    drag = null;
    draw();
  });

  const ordered = ([x1, y1, x2, y2]) => [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];

  function moveTo(shape, [x1, y1, x2, y2], dx, dy) {
    const { width, height } = meta.frames[frame];
    const mx = Math.max(-x1, Math.min(width - x2, dx));
    const my = Math.max(-y1, Math.min(height - y2, dy));
    shape.points = [x1 + mx, y1 + my, x2 + mx, y2 + my];
  }

  function nudge(dx, dy, resize) {
    if (!selected) return;
    const { width, height } = meta.frames[frame];
    const [x1, y1, x2, y2] = selected.points;
    if (resize) selected.points = [x1, y1, clamp(Math.max(x1 + smallest, x2 + dx), width), clamp(Math.max(y1 + smallest, y2 + dy), height)];
    else moveTo(selected, selected.points, dx, dy);
    changed();
  }

  function addInMiddle() {
    const { width, height } = meta.frames[frame];
    shapes.push((selected = newShape([width * 0.35, height * 0.35, width * 0.65, height * 0.65])));
    changed();
  }

  function removeSelected() {
    if (!selected) return;
    shapes.splice(shapes.indexOf(selected), 1);
    selected = null;
    changed();
  }

  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  function onKey(event) {
    if (event.target instanceof HTMLInputElement) return;
    const key = event.key;
    if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === "s") save();
    else if (event.ctrlKey || event.metaKey || event.altKey) return;
    else if (/^[1-9]$/.test(key)) choose(Number(key) - 1);
    else if (key === "Delete" || key === "Backspace") removeSelected();
    else if (key.toLowerCase() === "n") show(frame + 1);
    else if (key.toLowerCase() === "p") show(frame - 1);
    else if (key.toLowerCase() === "b") addInMiddle();
    else if (arrows[key] && selected) nudge(...arrows[key].map((d) => d * (event.shiftKey ? 4 : 2)), event.shiftKey);
    else if (key === "Tab" && here().length > 0 && (document.activeElement === document.body || document.activeElement === view))
      pick(here()[(here().indexOf(selected) + 1) % here().length]);
    else return;
    event.preventDefault();
  }

  /** Sends all boxes; one save waits for the one before. */
  function save() {
    if (!dirty) return saving;
    dirty = false;
    draw();
    const body = { shapes: shapes.map(({ type, frame, label_id, points }) => ({ type, frame, label_id, points })), tags: [], tracks: [] };
    saving = saving
      .then(() => call("PUT", `/api/tasks/${taskId}/annotations`, body))
      .then(
        () => say("Saved."),
        (error) => {
          dirty = true;
          say(`Not saved: ${error.message}`, true);
          throw error;
        },
      );
    saving.catch(() => {});
    const done = saving;
    saving = saving.catch(() => {});
    return done;
  }

  async function finishJob() {
    const unlabelled = meta.frames.length - new Set(shapes.map((shape) => shape.frame)).size;
    if (unlabelled > 0 && !confirm(`${unlabelled} of ${meta.frames.length} pictures have no box. Finish all the same?`)) return;
    try {
      await save();
      Object.assign(job, await call("PATCH", `/api/jobs/${job.id}`, { stage: "acceptance", state: "completed" }));
      say("The job is finished: labeling_pipeline takes the boxes from here.");
      draw();
    } catch (error) {
      say(error.message, true);
    }
  }

  async function show(number) {
    if (number < 0 || number >= meta.frames.length) return;
    save()?.catch(() => {});
    frame = number;
    selected = null;
    const loaded = await picture(taskId, number).catch((error) => say(error.message, true));
    if (frame !== number) return;
    if (url) URL.revokeObjectURL(url);
    url = loaded;
    draw();
  }

  const beforeUnload = (event) => {
    if (dirty) event.preventDefault();
  };
  addEventListener("keydown", onKey);
  addEventListener("beforeunload", beforeUnload);
  await show(0);
  return () => {
    save()?.catch(() => {});
    removeEventListener("keydown", onKey);
    removeEventListener("beforeunload", beforeUnload);
  };
}
