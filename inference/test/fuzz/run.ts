import { Agent, request } from "node:http";
import { patientMs } from "../../../test/patience.ts";
import { type FuzzCase, fuzzCases, seedPictures } from "./cases.ts";

/** What came of a run. */
export interface FuzzReport {
  readonly cases: number;
  /** Answers by kind of case and status. */
  readonly statuses: ReadonlyMap<string, number>;
  /** What must not be: a 5xx, no answer, or a refusal that does not say why. */
  readonly problems: readonly { readonly what: string; readonly given: FuzzCase }[];
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** An answer that is late is a problem too. */
const answerTimeoutMs = patientMs(60_000);

function ask(url: string, agent: Agent, { path, headers, body }: FuzzCase): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      `${url}${path}`,
      { method: "POST", agent, headers: { ...headers, "content-length": body.length }, timeout: answerTimeoutMs },
      (response) => {
        const pieces: Buffer[] = [];
        response.on("data", (piece: Buffer) => pieces.push(piece));
        response.once("end", () => resolve({ status: response.statusCode!, text: Buffer.concat(pieces).toString() }));
      },
    );
    sent.once("timeout", () => sent.destroy(new Error(`no answer within ${answerTimeoutMs / 1000} s`)));
    sent.once("error", reject);
    sent.end(body);
  });
}

/** Why an answer is a problem; undefined for one that is as it should be. */
function problemOf({ status, text }: Answer): string | undefined {
  if (status >= 500) return `${status}: ${text.slice(0, 300)}`;
  if (status < 400) return undefined;
  try {
    const { error } = JSON.parse(text) as { error: string | { message: string } };
    const message = typeof error === "string" ? error : error.message;
    return message.length > 10 ? undefined : `${status} says too little: ${text.slice(0, 300)}`;
  } catch {
    return `${status} is not JSON: ${text.slice(0, 300)}`;
  }
}

/** Sends so many requests that somebody might send, some at once; the same seed sends the same ones. */
export async function fuzz(
  url: string,
  { cases, seed, atOnce = 8, onProgress }: { cases: number; seed: number; atOnce?: number; onProgress?: (done: number) => Promise<void> | void },
): Promise<FuzzReport> {
  const given = fuzzCases(await seedPictures(), seed);
  const statuses = new Map<string, number>();
  const problems: { what: string; given: FuzzCase }[] = [];
  const agent = new Agent({ keepAlive: true, maxSockets: atOnce });
  let [begun, done] = [0, 0];
  const worker = async () => {
    while (begun++ < cases) {
      const one = given.next().value as FuzzCase;
      try {
        const answer = await ask(url, agent, one);
        const key = `${one.kind} ${answer.status}`;
        statuses.set(key, (statuses.get(key) ?? 0) + 1);
        const what = problemOf(answer);
        if (what) problems.push({ what, given: one });
      } catch (error) {
        problems.push({ what: `no answer: ${(error as Error).message}`, given: one });
      }
      await onProgress?.(++done);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  agent.destroy();
  return { cases: done, statuses, problems };
}

/**
 * How schemathesis is run. Left out is what is no mistake here: other methods on a path are a 404 as any unknown route is, bytes that
 * are no picture fit the schema and are refused, and the key and one header are optional.
 */
export const schemathesisArguments = (examples: number): string[] => [
  "--max-examples",
  String(examples),
  "--checks",
  "all",
  "--exclude-checks",
  "unsupported_method,positive_data_acceptance,missing_required_header,ignored_auth",
  "--seed",
  "1",
  "--no-color",
];
