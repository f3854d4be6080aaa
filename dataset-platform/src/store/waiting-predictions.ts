import { existsSync } from "node:fs";
import path from "node:path";

/** The file in `incoming/` with what a model saw in a picture: hidden, so that it is no picture, and named for the picture's bytes. */
export const waitingPredictions = (folder: string, sha256: string): string => path.join(folder, `.${sha256}.predictions.json`);

/** Whether predictions wait beside a picture. */
export const arePredictionsWaiting = (folder: string, sha256: string): boolean => existsSync(waitingPredictions(folder, sha256));
