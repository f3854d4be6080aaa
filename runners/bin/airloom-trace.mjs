#!/usr/bin/env node
// Runs the TypeScript source: Node 20 needs tsx for that.
import { register } from "tsx/esm/api";

register();
await import("../cli/trace.ts");
