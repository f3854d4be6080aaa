import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import * as tf from "@tensorflow/tfjs-node";
import { type Attribute, DataType, TensorflowGraph, typeAttribute } from "../trace/graph.ts";
import { Recorder } from "../trace/recorder.ts";
import { Session } from "../trace/session.ts";
import { pixelScale } from "./eager.ts";
import { rateCount, rateVector, type StepRates, type TrainState } from "./optimizer.ts";
import { gatherStep, type StepSetting, updateStep } from "./step.ts";
import { type HostBatch, type HostState, stateNames, type Trainer } from "./trainer.ts";

const floats = typeAttribute(DataType.float32);

/**
 * Runs each step as one TensorFlow graph: what a step asks of TensorFlow is recorded once, and TensorFlow's own session
 * executes the recording from then on. The state lives in the graph's variables, so that a step carries in only its
 * batch and out only its losses. A batch with more objects than the recording has room for makes a new recording, and so does
 * the first one that says which classes were asked.
 */
export class TracedTrainer implements Trainer {
  readonly #setting: StepSetting;
  #session: Session | undefined;
  #objects = 0;
  #masks = false;
  #state: HostState;

  constructor(setting: StepSetting, state: HostState) {
    this.#setting = setting;
    this.#state = state;
  }

  step(host: HostBatch, rates?: StepRates): Float32Array {
    if (!this.#session || host.objects > this.#objects || (host.asked !== undefined) !== this.#masks) this.#retrace(host);
    const { images, boxes, classes, asked } = withRoomFor(host, this.#objects);
    const batch = classes.length / this.#objects;
    const side = Math.sqrt(images.length / batch / 3);
    const [parts] = this.#session!.run(
      {
        images: { type: DataType.uint8, shape: [batch, side, side, 3], values: images },
        boxes: { type: DataType.float32, shape: [batch, this.#objects, 4], values: boxes },
        classes: { type: DataType.int32, shape: [batch, this.#objects], values: classes },
        ...(asked && { asked: { type: DataType.float32, shape: [batch, asked.length / batch], values: asked } }),
        ...(rates && { rates: { type: DataType.float32, shape: [rateCount], values: rateVector(rates) } }),
      },
      [rates ? "update" : "gather"],
    );
    return parts!;
  }

  read(): HostState {
    if (!this.#session) return this.#state;
    const values = this.#session.run(
      {},
      stateNames.map((name) => `get_${name}`),
    );
    return Object.fromEntries(stateNames.map((name, i) => [name, values[i]!])) as unknown as HostState;
  }

  averaged() {
    if (!this.#session) return { parameters: this.#state.averaged, stats: this.#state.averagedStats };
    const [parameters, stats] = this.#session.run({}, ["get_averaged", "get_averagedStats"]);
    return { parameters: parameters!, stats: stats! };
  }

  dispose(): void {
    this.#session?.dispose();
    this.#session = undefined;
  }

  #retrace(host: HostBatch): void {
    this.#state = this.read();
    this.dispose();
    this.#objects = host.objects;
    this.#masks = host.asked !== undefined;
    this.#session = record(this.#setting, this.#state, host);
    const feeds = stateNames.map((name) => [`new_${name}`, { type: DataType.float32, shape: [this.#state[name].length], values: this.#state[name] }]);
    this.#session.run(Object.fromEntries(feeds), ["set"]);
  }
}

/** The batch with its objects padded to `objects`. */
function withRoomFor(host: HostBatch, objects: number): HostBatch {
  if (host.objects === objects) return host;
  const batch = host.classes.length / host.objects;
  const boxes = new Float32Array(batch * objects * 4);
  const classes = new Int32Array(batch * objects).fill(-1);
  for (let i = 0; i < batch; i++) {
    boxes.set(host.boxes.subarray(i * host.objects * 4, (i + 1) * host.objects * 4), i * objects * 4);
    classes.set(host.classes.subarray(i * host.objects, (i + 1) * host.objects), i * objects);
  }
  return { ...host, boxes, classes, objects };
}

/** A session with the variables of `state`, unset, and the nodes `set`, `gather`, `update` and `get_…`. */
function record(setting: StepSetting, state: HostState, host: HostBatch): Session {
  const graph = new TensorflowGraph();
  const recorder = new Recorder(graph);
  const handles = new Map<string, string>();
  const read = (name: string, as?: string) => `${graph.node("ReadVariableOp", [handles.get(name)!], { dtype: floats }, as)}:0`;
  const assign = (name: string, value: string) => `^${graph.node("AssignVariableOp", [handles.get(name)!, value], { dtype: floats })}`;
  /** A node with an output that is there only when others are done. */
  const after = (name: string, value: string, done: readonly string[]) => graph.node("Identity", [value, ...done], { T: floats }, name);

  for (const name of stateNames) {
    const shape: Attribute = { kind: "shape", value: [state[name].length] };
    const names = { shared_name: { kind: "string", value: name }, container: { kind: "string", value: "" } } as const;
    handles.set(name, `${graph.node("VarHandleOp", [], { dtype: floats, shape, ...names })}:0`);
    read(name, `get_${name}`);
  }
  const set = stateNames.map((name) => assign(name, graph.placeholder(`new_${name}`, DataType.float32, [state[name].length])));
  after("set", graph.constant(DataType.float32, [], new Uint8Array(4)), set);

  const batch = host.classes.length / host.objects;
  const side = Math.sqrt(host.images.length / batch / 3);
  const { float32, int32, uint8 } = DataType;
  const input = (name: string, dtype: number, shape: readonly number[]) => recorder.input(graph.placeholder(name, dtype, shape), dtype, shape);
  const bytes = graph.placeholder("images", uint8, [batch, side, side, 3]);
  const asFloat = `${graph.node("Cast", [bytes], { SrcT: typeAttribute(uint8), DstT: floats })}:0`;
  const scale = graph.constant(float32, [], new Uint8Array(Float32Array.of(pixelScale).buffer));
  tf.tidy(() => {
    const images = recorder.input(`${graph.node("Mul", [asFloat, scale], { T: floats })}:0`, float32, [batch, side, side, 3]) as tf.Tensor4D;
    const boxes = input("boxes", float32, [batch, host.objects, 4]) as tf.Tensor3D;
    const classes = input("classes", int32, [batch, host.objects]) as tf.Tensor2D;
    // Only where the data set has pictures that were not asked for all classes: the graph of the others stays what it is.
    const asked = host.asked && (input("asked", float32, [batch, host.asked.length / batch]) as tf.Tensor2D);
    const rates = input("rates", float32, [rateCount]) as tf.Tensor1D;
    const old = Object.fromEntries(stateNames.map((name) => [name, recorder.input(read(name), float32, [state[name].length])])) as unknown as TrainState;
    recorder.constant(setting.anchors.centres);
    recorder.constant(setting.anchors.stride);
    const { gathered, next } = recorder.record(() => {
      const made = gatherStep(setting, old, { images, boxes, classes, asked });
      return { gathered: made, next: updateStep(setting, old, made, rates) };
    });
    const parts = recorder.output(gathered.parts);
    const changed = stateNames.filter((name) => next[name] !== old[name]);
    const update = changed.map((name) => assign(name, recorder.output(next[name])));
    after("update", parts, update);
    const only = { gathered: gathered.gradient, stats: gathered.stats };
    if (setting.gathers)
      after(
        "gather",
        parts,
        (["gathered", "stats"] as const).map((name) => assign(name, recorder.output(only[name]))),
      );
    // The loss keeps its parts beyond every tidy.
    gathered.parts.dispose();
  });

  return sessionOf(graph);
}

/** A session of a graph, which takes its way through a temporary folder. */
export function sessionOf(graph: TensorflowGraph): Session {
  const folder = mkdtempSync(path.join(tmpdir(), "airloom-trace-"));
  try {
    writeFileSync(path.join(folder, "saved_model.pb"), graph.finish());
    return new Session(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
