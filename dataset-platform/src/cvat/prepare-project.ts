import { className } from "../registry/classes.ts";
import { CvatError, type CvatClient, type CvatLabel } from "./client.ts";
import { canBeBoxed } from "./finished-task.ts";

/** A project's labels are not such that objects can be marked with them. */
export class UnusableLabels extends Error {
  override readonly name = "UnusableLabels";
}

export interface Project {
  readonly id: number;
  /** Classes that a box can have in this project, in the project's order. */
  readonly classes: readonly string[];
  /** Other projects of the same name, which are left alone. */
  readonly others: readonly number[];
}

/**
 * The project of that name, the oldest where there are several, with all wanted classes among its labels; made where there is
 * none. Two at once must hold a lock on the project's name.
 */
export async function prepareProject(cvat: CvatClient, name: string, wanted: readonly string[]): Promise<Project> {
  const [oldest, ...others] = await cvat.findProjects(name);
  const id = oldest ?? (await cvat.createProject(name));
  let labels = await cvat.labels(id);
  for (const label of labels) checkName(label.name, name);
  const missing = missingFrom(labels, wanted);
  if (missing.length > 0) {
    // Somebody else, who knows nothing of our lock, may add them at the same time: only what is there afterwards counts.
    await cvat.addLabels(id, missing).catch(async (error: unknown) => {
      const refused = error instanceof CvatError && [400, 409].includes(error.status);
      if (!refused || missingFrom(await cvat.labels(id), wanted).length > 0) throw naming(error, name, missing);
    });
    labels = await cvat.labels(id);
  }
  const names = (chosen: readonly CvatLabel[]) => [...new Set(chosen.map((label) => className(label.name)))];
  const classes = names(labels.filter(canBeBoxed));
  const unusable = wanted.filter((label) => !classes.includes(label));
  if (unusable.length > 0) {
    const types = unusable.map((label) => `"${label}" (${labels.find((other) => className(other.name) === label)?.type ?? "gone"})`);
    throw new UnusableLabels(
      `no boxes can be drawn with labels of the CVAT project "${name}": ${types.join(", ")}. Give them the type "any" or "rectangle" in CVAT, or choose another project`,
    );
  }
  return { id, classes, others };
}

function checkName(label: string, project: string): void {
  try {
    className(label);
  } catch (cause) {
    throw new UnusableLabels(`the CVAT project "${project}" has a label that must be renamed there: ${(cause as Error).message}`, { cause });
  }
}

function missingFrom(labels: readonly CvatLabel[], wanted: readonly string[]): string[] {
  const present = new Set(labels.map(({ name }) => className(name)));
  return wanted.filter((name) => !present.has(name));
}

function naming(error: unknown, project: string, labels: readonly string[]): unknown {
  if (!(error instanceof CvatError)) return error;
  const message = `the labels ${labels.map((label) => JSON.stringify(label)).join(", ")} could not be added to the CVAT project "${project}": ${error.message}`;
  return new CvatError(message, error.status, { cause: error, isCvats: error.isCvats });
}
