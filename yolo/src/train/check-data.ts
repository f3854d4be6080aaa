import sharp from "sharp";
import { maxInputPixels, type PictureFile } from "./pictures.ts";
import type { TrainJob } from "./train.ts";

/** The data or the options cannot be trained with; the message says what and where. */
export class DataError extends Error {}

/** Problems named in one message; the rest are counted. */
const mostNamed = 10;

/** Looks at everything before the first step: throws a `DataError` that names what is wrong, and gives what is only odd. */
export async function checkData({ train, validation, labels, options }: TrainJob): Promise<string[]> {
  const problems: string[] = [];
  if (labels.length === 0) problems.push("there are no labels");
  if (train.length === 0) problems.push("the training split is empty");
  if (validation.length === 0) problems.push("the validation split is empty: give it at least one picture");
  const { side, batch, precision, engine } = options;
  if (side % 32 !== 0 || side < 32) problems.push(`imgsz is ${side}, and must be a multiple of 32`);
  if (!Number.isInteger(batch) || batch < 1) problems.push(`batch is ${batch}, and must be at least 1`);
  if (precision === "bf16" && engine === "eager") problems.push("precision bf16 needs the traced engine: eager steps compute in fp32");
  for (const picture of [...train, ...validation]) problems.push(...labelProblems(picture, labels.length));
  for (const { file } of [...train, ...validation]) {
    const problem = await pictureProblem(file);
    if (problem) problems.push(problem);
  }
  if (problems.length > 0) {
    const more = problems.length > mostNamed ? `\n… and ${problems.length - mostNamed} more` : "";
    throw new DataError(`the data cannot be trained with:\n${problems.slice(0, mostNamed).join("\n")}${more}`);
  }
  return oddities(train, validation, labels);
}

function labelProblems({ file, objects, asked = [] }: PictureFile, classes: number): string[] {
  const known = (cls: number) => Number.isInteger(cls) && cls >= 0 && cls < classes;
  const unknown = asked.filter((cls) => !known(cls)).map((cls) => `${file}: class ${cls}, which it was asked for, is not one of 0 … ${classes - 1}`);
  const problems = objects.flatMap(({ cls, xywh }, i) => {
    const where = `${file}, object ${i + 1}`;
    if (!known(cls)) return [`${where}: class ${cls} is not one of 0 … ${classes - 1}`];
    const inside = xywh.every((value) => Number.isFinite(value) && value >= 0 && value <= 1) && xywh[2] > 0 && xywh[3] > 0;
    return inside ? [] : [`${where}: the box ${xywh.join(" ")} is not within 0 … 1 with a size`];
  });
  return [...unknown, ...problems];
}

async function pictureProblem(file: string): Promise<string | undefined> {
  try {
    await sharp(file, { limitInputPixels: maxInputPixels }).metadata();
    return undefined;
  } catch (error) {
    return `${file} cannot be read as a picture: ${(error as Error).message}`;
  }
}

function oddities(train: readonly PictureFile[], validation: readonly PictureFile[], labels: readonly string[]): string[] {
  const isShown = (pictures: readonly PictureFile[], cls: number) => pictures.some(({ objects }) => objects.some((object) => object.cls === cls));
  const isAsked = (pictures: readonly PictureFile[], cls: number) => pictures.some(({ asked }) => !asked || asked.includes(cls));
  return labels.flatMap((label, cls) => {
    const nobody = (part: string) => `nobody was asked to mark ${label} on the ${part} pictures`;
    const odd: string[] = [];
    if (!isAsked(train, cls)) odd.push(`${nobody("training")}: ${isShown(train, cls) ? "what is not one cannot be learned" : "it cannot be learned"}`);
    else if (!isShown(train, cls)) odd.push(`no training picture shows ${label}: it cannot be learned`);
    if (!isAsked(validation, cls)) odd.push(`${nobody("validation")}${isShown(validation, cls) ? "" : ": it cannot be measured"}`);
    else if (odd.length === 0 && !isShown(validation, cls)) odd.push(`no validation picture shows ${label}: it cannot be measured`);
    return odd;
  });
}
