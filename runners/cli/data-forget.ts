import type { Command } from "commander";
import { personHere } from "@airloom/dataset-platform/registry/events.ts";
import { forget } from "@airloom/dataset-platform/trace/forget.ts";
import { count, print } from "./data-print.ts";
import type { UseRegistry } from "./data-registry.ts";

/** `forget`: takes a picture or a source out of the future, and names what holds it. */
export function addForget(program: Command, use: UseRegistry): void {
  program
    .command("forget")
    .description("takes a picture, or all of a source, out of every future batch and version, and names the versions and models that hold it")
    .argument("<what>", "a picture's SHA-256, or a source")
    .requiredOption("--why <reason>", "is kept with the pictures")
    .action((what: string, { why }: { why: string }) =>
      use(async ({ registry }) => {
        if (why.trim() === "") throw new Error("--why is empty: say why they are forgotten");
        const subject = /^[0-9a-f]{64}$/.test(what) ? { sha256: what } : { source: what };
        const { images, versions, models } = await forget(registry, subject, why, personHere());
        print(program, { images, versions, models }, [
          `${count(images.length, "picture")} forgotten: no future batch or version holds them. Their bytes stay in the store for the versions that do.`,
          versions.length === 0
            ? "no version holds them"
            : `${count(versions.length, "version")} hold them: ${versions.map(({ commit }) => commit.slice(0, 12)).join(", ")}`,
          models.length === 0
            ? "no model was trained on them"
            : `${count(models.length, "model")} learned from them: ${models.map(({ name, version }) => `${name}@${version}`).join(", ")}`,
        ]);
      }),
    );
}
