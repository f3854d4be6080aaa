import { conform } from "./conform.ts";

conform("with the spawning operator", false, {});
