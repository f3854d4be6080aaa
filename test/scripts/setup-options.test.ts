import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { setupOptions, setupParts } from "../../scripts/set-up/options.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));

describe("the set-up's options", () => {
  it("leaves what follows --run to the program, in either form, and sets everything up", () => {
    for (const rest of [["--only=mlflow"], ["--only", "mlflow"], ["--for=test", "--parts=env", "--run=x"]]) {
      const options = setupOptions(["--run=scripts/start.ts", ...rest]);
      assert.deepEqual(options, { parts: setupParts, forTest: false, omit: undefined, program: "scripts/start.ts", rest });
    }
  });

  it("takes its own before --run", () => {
    const options = setupOptions(["--for=test", "--parts=npm,env", "--omit=dev", "--run=a.ts"]);
    assert.deepEqual(options, { parts: ["npm", "env"], forTest: true, omit: "dev", program: "a.ts", rest: [] });
  });

  it("refuses what it does not know, and installs nothing", async () => {
    for (const wrong of ["--only=npm", "--parts", "--parts=npm,nope", "--for=production", "npm"]) {
      const { exitCode, stderr, stdout } = await execa(process.execPath, ["scripts/setup.mjs", wrong], { cwd: root, reject: false });
      assert.equal(exitCode, 1, wrong);
      assert.match(stderr, /^\nSet-up stopped: (the set-up does not know|--parts knows npm, python, tfjs, env, and not "nope")/);
      assert.equal(stdout, "");
    }
  });

  it("is told apart from what npm start knows: an unknown part or option is refused by name", async () => {
    const start = async (...args: string[]) => execa(process.execPath, ["--import", "tsx", "scripts/start.ts", ...args], { cwd: root, reject: false });
    assert.match((await start("--only=nope")).stderr, /--only knows .*mlflow.*, and not "nope"/);
    assert.match((await start("--onyl=mlflow")).stderr, /unknown option '--onyl=mlflow'/);
  });
});
