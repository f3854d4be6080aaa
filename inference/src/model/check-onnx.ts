import { readMessage } from "@airloom/yolo/files/protobuf-reader.ts";

/** What a model file says of itself. */
export interface OnnxFacts {
  readonly operators: ReadonlySet<string>;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** The model file is not one that is served. The message says why. */
export class RefusedModelError extends Error {
  override readonly name = "RefusedModelError";
}

/**
 * ONNX operators of detectors and of their quantised forms. All compute from their inputs alone: none reads a file, runs a
 * part of the graph in a loop, or comes from a library of its own.
 */
const allowedOperators: ReadonlySet<string> = new Set(
  `Abs Add ArgMax AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv ConvTranspose CumSum DepthToSpace
  DequantizeLinear Div Equal Erf Exp Expand Flatten Floor Gather GatherElements Gelu Gemm GlobalAveragePool GlobalMaxPool Greater
  GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Less Log LogSoftmax MatMul Max MaxPool
  Min Mish Mul Neg Not PRelu Pad Pow QuantizeLinear Range Reciprocal ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape Resize Round
  Selu Shape Sigmoid Slice Softmax Softplus SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Tile TopK Transpose Unsqueeze Where`.split(/\s+/),
);

const standardDomains: ReadonlySet<string> = new Set(["", "ai.onnx"]);

/** ONNX IR versions that are read. */
const newestIr = 13;

/** A graph with more nodes is refused: the largest YOLOv8 has some 500. */
const maxNodes = 20_000;

/**
 * Checks a model file before any runtime opens it: a whole ONNX model of allowed operators, with its numbers inside it, one
 * input `images` and an output `output0`. Field numbers are those of onnx.proto3.
 */
export function checkOnnx(file: Buffer): OnnxFacts {
  try {
    return readModel(file);
  } catch (cause) {
    if (cause instanceof RefusedModelError) throw cause;
    throw new RefusedModelError(`it is not a whole ONNX model: ${(cause as Error).message}`, { cause });
  }
}

function refuse(why: string): never {
  throw new RefusedModelError(why);
}

function readModel(file: Buffer): OnnxFacts {
  let [ir, graph] = [0, undefined as Buffer | undefined];
  for (const { number, integer, bytes } of readMessage(file)) {
    if (number === 1) ir = integer;
    else if (number === 7) graph = bytes;
    else if (number === 8) checkOpset(bytes);
    else if (number === 20) refuse("it has a part for training");
    else if (number === 25) refuse("it brings functions of its own");
  }
  if (!graph) refuse("it is not an ONNX model: it has no graph");
  if (ir < 3 || ir > newestIr) refuse(`its IR version is ${ir}, and 3 to ${newestIr} are read`);
  const facts = readGraph(graph);
  if (facts.inputs.length !== 1 || facts.inputs[0] !== "images") refuse(`its inputs are ${facts.inputs.join(", ") || "none"}, and "images" is expected`);
  if (!facts.outputs.includes("output0")) refuse(`its outputs are ${facts.outputs.join(", ") || "none"}, and "output0" is expected`);
  return facts;
}

function checkOpset(bytes: Buffer): void {
  for (const field of readMessage(bytes))
    if (field.number === 1 && !standardDomains.has(field.bytes.toString())) refuse(`it needs operators of ${JSON.stringify(field.bytes.toString())}`);
}

function readGraph(graph: Buffer): OnnxFacts {
  const operators = new Set<string>();
  const constants = new Set<string>();
  const [inputs, outputs]: [string[], string[]] = [[], []];
  let nodes = 0;
  for (const { number, bytes } of readMessage(graph)) {
    if (number === 1) {
      if (++nodes > maxNodes) refuse(`it has more than ${maxNodes} nodes`);
      operators.add(readNode(bytes));
    } else if (number === 5) constants.add(readTensor(bytes));
    else if (number === 11) inputs.push(nameOf(bytes));
    else if (number === 12) outputs.push(nameOf(bytes));
    else if (number === 15) refuse("it has sparse initialisers");
  }
  // Old writers list initialisers among the inputs.
  return { operators, inputs: inputs.filter((name) => !constants.has(name)), outputs };
}

/** A node's operator. */
function readNode(node: Buffer): string {
  let operator = "";
  for (const { number, bytes } of readMessage(node)) {
    if (number === 4) operator = bytes.toString();
    else if (number === 5) readAttribute(bytes);
    else if (number === 7 && !standardDomains.has(bytes.toString())) refuse(`it has an operator of ${JSON.stringify(bytes.toString())}`);
  }
  if (!allowedOperators.has(operator)) refuse(`it has the operator ${JSON.stringify(operator)}, which is not among those that are allowed`);
  return operator;
}

function readAttribute(attribute: Buffer): void {
  for (const { number, bytes } of readMessage(attribute)) {
    if (number === 5 || number === 10) readTensor(bytes);
    else if (number === 6 || number === 11) refuse("it has a graph within a node");
    else if (number === 22 || number === 23) refuse("it has a sparse tensor within a node");
  }
}

/** A tensor's name; its numbers have to be in it. */
function readTensor(tensor: Buffer): string {
  let name = "";
  for (const { number, integer, bytes } of readMessage(tensor)) {
    if (number === 8) name = bytes.toString();
    else if (number === 13 || (number === 14 && integer !== 0)) refuse(`the numbers of ${name || "a tensor"} are in another file`);
  }
  return name;
}

function nameOf(valueInfo: Buffer): string {
  for (const { number, bytes } of readMessage(valueInfo)) if (number === 1) return bytes.toString();
  return "";
}
