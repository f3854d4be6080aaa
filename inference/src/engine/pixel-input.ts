import { MessageWriter } from "@airloom/yolo/files/protobuf.ts";
import { type Field, readMessage } from "@airloom/yolo/files/protobuf-reader.ts";

/** A model that takes a picture's bytes as they are. */
export interface PixelModel {
  /** `pixels` [batch, height, width, 3] uint8 RGB → what the model gives for `images`. */
  readonly onnx: Uint8Array;
  /** The side of a square input that is written into the model; undefined where height and width are free. */
  readonly fixedSide: number | undefined;
}

/** ONNX element types, as onnx.proto3 numbers them. */
const [float32, uint8] = [1, 2];

const node = (op: string, inputs: readonly string[], output: string) => {
  const writer = new MessageWriter();
  for (const input of inputs) writer.text(1, input);
  return writer.text(2, output).text(3, output).text(4, op);
};

const scale = "airloom_pixel_scale";
const [turned, wide] = ["airloom_turned", "airloom_wide"];

/** What turns bytes in rows into the model's planes of 0 … 1. In ONNX Runtime that costs nothing to speak of; in JavaScript, and copied, 5 % of a run. */
function firstNodes(): MessageWriter[] {
  const perm = new MessageWriter().text(1, "perm");
  for (const axis of [0, 3, 1, 2]) perm.int(8, axis);
  const to = new MessageWriter().text(1, "to").int(3, float32).int(20, 2);
  return [node("Transpose", ["pixels"], turned).message(5, perm.int(20, 7)), node("Cast", [turned], wide).message(5, to), node("Mul", [wide, scale], "images")];
}

/** The model with `pixels` in place of `images`, for a model of `images` [batch, 3, height, width] float32 in 0 … 1. */
export function withPixelInput(onnx: Uint8Array): PixelModel {
  const model = new MessageWriter();
  let fixedSide: number | undefined;
  for (const field of readMessage(bufferOf(onnx))) {
    if (field.number === 7) {
      const graph = rewriteGraph(field.bytes);
      fixedSide = graph.fixedSide;
      model.bytes(7, graph.bytes);
    } else if (field.number === 1) model.int(1, field.integer);
    else if (field.number === 8 || field.number === 14) model.bytes(field.number, field.bytes);
  }
  return { onnx: model.finish(), fixedSide };
}

const bufferOf = (data: Uint8Array) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

function rewriteGraph(graph: Buffer): { bytes: Uint8Array; fixedSide: number | undefined } {
  const fields = [...readMessage(graph)];
  const images = fields.find((field) => field.number === 11 && nameOf(field) === "images");
  if (!images) throw new Error('the model has no tensor "images" as its input');
  const fixedSide = sideOf(images.bytes);
  const writer = new MessageWriter();
  for (const first of firstNodes()) writer.message(1, first);
  // Nodes, initialisers, other inputs, outputs, and what is known of values between.
  for (const field of fields) if ([1, 2, 5, 11, 12, 13].includes(field.number) && field !== images) writer.bytes(field.number, field.bytes);
  const factor = new MessageWriter()
    .int(2, float32)
    .text(8, scale)
    .bytes(9, new Uint8Array(Float32Array.of(1 / 255).buffer));
  writer.message(5, factor);
  const shape = new MessageWriter();
  for (const side of ["batch", fixedSide ?? "height", fixedSide ?? "width", 3])
    shape.message(1, typeof side === "number" ? new MessageWriter().int(1, side) : new MessageWriter().text(2, side));
  const type = new MessageWriter().message(1, new MessageWriter().int(1, uint8).message(2, shape));
  writer.message(11, new MessageWriter().text(1, "pixels").message(2, type));
  return { bytes: writer.finish(), fixedSide };
}

/** The first field of a number, within a chain of messages. */
function within(message: Buffer, ...path: readonly number[]): Field | undefined {
  const [number, ...rest] = path;
  for (const field of readMessage(message)) if (field.number === number) return rest.length === 0 ? field : within(field.bytes, ...rest);
  return undefined;
}

const nameOf = (valueInfo: Field) => within(valueInfo.bytes, 1)?.bytes.toString();

/** The side of a fixed square [batch, 3, side, side] float32; undefined where height and width are free. */
function sideOf(valueInfo: Buffer): number | undefined {
  if (within(valueInfo, 2, 1, 1)?.integer !== float32) throw new Error("the model's input is not of 32-bit numbers");
  const shape = within(valueInfo, 2, 1, 2);
  const sides = [...readMessage(shape?.bytes ?? Buffer.alloc(0))].map((dimension) => within(dimension.bytes, 1)?.integer);
  if (sides.length !== 4 || (sides[1] !== undefined && sides[1] !== 3))
    throw new Error(`the model's input has the shape [${sides.map((side) => side ?? "?").join(", ")}]: [batch, 3, height, width] is expected`);
  const [, , height, width] = sides;
  if (height === undefined && width === undefined) return undefined;
  if (height === undefined || height !== width)
    throw new Error(`the model's input is ${height ?? "?"} × ${width ?? "?"}: a square, or free sides, are expected`);
  return height;
}
