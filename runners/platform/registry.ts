import type { Registry } from "@airloom/dataset-platform/registry/registry.ts";
import { type PlatformSettings, platformSettings } from "./settings.ts";

/** Runs `work` with the registry open. The database driver is loaded only here, so that compiling DAGs stays fast. */
export async function withRegistry<T>(work: (registry: Registry, settings: PlatformSettings) => Promise<T>): Promise<T> {
  const settings = platformSettings();
  const { Registry } = await import("@airloom/dataset-platform/registry/registry.ts");
  const registry = await Registry.open(settings.storage.registry);
  try {
    return await work(registry, settings);
  } finally {
    await registry.close();
  }
}
