import { Tensor } from "onnxruntime-node";
import { z } from "zod";

// The tensors of the Open Inference Protocol (v2), in JSON and with KServe's and Triton's binary extension: a JSON header whose
// length a header names, and then the tensors' bytes in its order.

/** A call as it came. */
export interface TensorRequest {
  readonly body: Uint8Array;
  /** Bytes of the JSON at the beginning; undefined where all of it is JSON. */
  readonly jsonLength: number | undefined;
  readonly model: { readonly name: string; readonly version: string };
}

/** A call's answer. */
export interface TensorAnswer {
  readonly body: Uint8Array;
  /** Bytes of the JSON at the beginning; undefined where all of it is JSON. */
  readonly jsonLength: number | undefined;
}

/** The call is wrong. The message is for the client. */
export class BadCallError extends Error {
  override readonly name = "BadCallError";
}

/** Numbers of one input: 16 pictures of 640 × 640. */
const maxNumbers = 16 * 3 * 640 * 640;

const parameters = z.record(z.string(), z.unknown()).optional();
const requestSchema = z.object({
  id: z.string().max(200).optional(),
  parameters,
  inputs: z
    .array(
      z.object({
        name: z.string(),
        shape: z.array(z.number().int().min(1).max(8192)).length(4),
        datatype: z.string(),
        parameters,
        data: z.array(z.unknown()).optional(),
      }),
    )
    .length(1),
  outputs: z
    .array(z.object({ name: z.string(), parameters }))
    .max(1)
    .optional(),
});

type Request = z.infer<typeof requestSchema>;

/** Answers a call with what `run` gives for its tensor. */
export async function answerTensorCall({ body, jsonLength, model }: TensorRequest, run: (images: Tensor) => Promise<Tensor>): Promise<TensorAnswer> {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (jsonLength !== undefined && jsonLength > bytes.length)
    throw new BadCallError(`Inference-Header-Content-Length is ${jsonLength}, and the body has ${bytes.length} bytes`);
  const request = parse(bytes.subarray(0, jsonLength ?? bytes.length).toString());
  const images = readInput(request, bytes.subarray(jsonLength ?? bytes.length));
  const output = await run(images).catch((error: unknown) => {
    // What ONNX Runtime refuses is the input's shape: the model itself has been tried.
    throw new BadCallError(`the model refuses an input of shape [${images.dims.join(", ")}]: ${(error as Error).message.split("\n")[0]}`, { cause: error });
  });
  const asBinary = isTrue(request.outputs?.[0]?.parameters?.["binary_data"] ?? request.parameters?.["binary_data_output"]);
  const values = output.data as Float32Array;
  const described = { name: "output0", datatype: "FP32", shape: [...output.dims] };
  const answer = (more: object) =>
    Buffer.from(
      JSON.stringify({
        model_name: model.name,
        model_version: model.version,
        ...(request.id === undefined ? {} : { id: request.id }),
        outputs: [{ ...described, ...more }],
      }),
    );
  if (!asBinary) return { body: answer({ data: Array.from(values) }), jsonLength: undefined };
  const header = answer({ parameters: { binary_data_size: values.byteLength } });
  return { body: Buffer.concat([header, Buffer.from(values.buffer, values.byteOffset, values.byteLength)]), jsonLength: header.length };
}

const isTrue = (value: unknown) => value === true;

function parse(text: string): Request {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new BadCallError("the body is not JSON; with binary tensors, Inference-Header-Content-Length names the JSON's bytes", { cause });
  }
  const result = requestSchema.safeParse(json);
  if (!result.success) throw new BadCallError(z.prettifyError(result.error).replace(/\s*\n\s*/g, " "));
  return result.data;
}

function readInput({ inputs, outputs }: Request, binary: Buffer): Tensor {
  const { name, shape, datatype, parameters: given, data } = inputs[0]!;
  if (name !== "images") throw new BadCallError(`there is no input "${name.slice(0, 100)}": the model's is "images"`);
  if (outputs?.[0] && outputs[0].name !== "output0") throw new BadCallError(`there is no output "${outputs[0].name.slice(0, 100)}": the model's is "output0"`);
  if (datatype !== "FP32") throw new BadCallError(`images is FP32, and not ${datatype.slice(0, 100)}`);
  const count = shape.reduce((product, side) => product * side, 1);
  if (count > maxNumbers) throw new BadCallError(`images may have ${maxNumbers} numbers, and [${shape.join(", ")}] are ${count}`);
  const size = given?.["binary_data_size"];
  if (size === undefined) {
    const values = (data ?? []).flat(3);
    if (values.length !== count) throw new BadCallError(`images has ${values.length} numbers, and its shape [${shape.join(", ")}] needs ${count}`);
    if (!values.every((value) => typeof value === "number")) throw new BadCallError("images has data that are not numbers");
    return new Tensor("float32", Float32Array.from(values as number[]), shape);
  }
  if (size !== count * 4 || binary.length !== size)
    throw new BadCallError(`images needs ${count * 4} bytes; binary_data_size is ${JSON.stringify(size)}, and ${binary.length} bytes came`);
  return new Tensor("float32", new Float32Array(Uint8Array.from(binary).buffer), shape);
}
