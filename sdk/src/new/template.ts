/** The files of a new project, by their path. */
export function newProject(name: string, airloom: string): Record<string, string> {
  const packageJson = {
    name: name.toLowerCase().replaceAll(/[^a-z0-9-]+/g, "-") || "pipelines",
    version: "0.1.0",
    private: true,
    type: "module",
    scripts: {
      compile: "compile-dags",
      watch: "compile-dags --watch",
      start: "airloom run dags-ts/hello.dag.ts",
      test: "node --import tsx --test test/*.test.ts",
    },
    dependencies: { airloom },
    devDependencies: { "@types/node": "20.19.43", tsx: "4.23.15" },
  };
  const tsConfig = {
    compilerOptions: {
      target: "es2023",
      lib: ["es2023"],
      types: ["node"],
      module: "nodenext",
      strict: true,
      noUncheckedIndexedAccess: true,
      verbatimModuleSyntax: true,
      allowImportingTsExtensions: true,
      skipLibCheck: true,
      noEmit: true,
    },
    include: ["dags-ts", "test"],
  };
  return {
    "package.json": `${JSON.stringify(packageJson, null, 2)}\n`,
    "tsconfig.json": `${JSON.stringify(tsConfig, null, 2)}\n`,
    ".gitignore": "node_modules/\n",
    "dags-ts/hello.dag.ts": dagFile,
    "test/hello.test.ts": testFile,
    "README.md": readme(name),
  };
}

const dagFile = `import { dag, task } from "airloom";

export interface Conf {
  /** Whom to greet. @default ["Ada", "Grace"] @minItems 1 */
  names: string[];
}

/** Greets one person. */
const greet = task("greet", { retries: 2 }, async (input: { name: string }, { log }) => {
  log.info(\`greeting \${input.name}\`);
  return \`Hello, \${input.name}!\`;
});

/** Puts the greetings together. */
const collect = task("collect", {}, async (input: { lines: readonly string[] }) => input.lines.join(" "));

/** Greets everyone, each in a task of their own. */
export default dag<Conf>("hello", { schedule: null }, ({ conf }) => {
  const lines = greet.expand({ name: conf.names }, {}, { instanceName: "name" });
  collect({ lines });
});
`;

const testFile = `import assert from "node:assert/strict";
import { test } from "node:test";
import { simulate } from "airloom/testing/simulate.ts";
import hello from "../dags-ts/hello.dag.ts";

test("everyone is greeted", async () => {
  const run = await simulate(hello, { conf: { names: ["Ada", "Grace"] } });
  assert.equal(run.state, "success");
  assert.equal(run.result("collect"), "Hello, Ada! Hello, Grace!");
});
`;

const readme = (name: string) => `# ${name}

Airflow pipelines in TypeScript.

    npm install
    npm test            # runs the DAGs in this process, with a fake clock
    npm start           # runs dags-ts/hello.dag.ts with live states
    npm run compile     # writes generated-dags/: the folder that Airflow reads
`;
