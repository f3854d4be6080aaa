import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Ajv } from "ajv";
import { execa } from "execa";
import { parse } from "yaml";
import { serviceAllocation } from "../../inference/src/allocation.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

interface Service {
  readonly image: string;
  readonly build?: object;
  readonly ports?: string[];
  readonly restart?: string;
  readonly healthcheck?: object;
  readonly environment?: Record<string, string>;
  readonly privileged?: boolean;
}

describe("compose.yaml", () => {
  let services: Record<string, Service>;
  let document: unknown;
  before(async () => {
    document = parse(await readFile(path.join(root, "compose.yaml"), "utf8"), { merge: true });
    services = (document as { services: Record<string, Service> }).services;
  });

  it("fits the Compose Specification's own schema", async () => {
    const schema = JSON.parse(await readFile(path.join(root, "test/containers/compose-spec.json"), "utf8")) as { $schema?: string };
    // Draft 7 under an https address; ajv knows it under http.
    delete schema.$schema;
    const validate = new Ajv({ strict: false, allErrors: true, formats: { duration: true, uri: true } }).compile(schema);
    assert.ok(validate(document), JSON.stringify(validate.errors, null, 1));
  });

  it("publishes the guide's ports, on loopback unless told otherwise", () => {
    const ports = Object.values(services).flatMap((service) => service.ports ?? []);
    assert.deepEqual(ports.map((port) => /:-(\d{4})\}:/.exec(port)?.[1]).toSorted(), ["5000", "8000", "8080", "8081"]);
    for (const port of ports) assert.match(port, /^\$\{LISTEN_HOST:-127\.0\.0\.1\}:/);
  });

  it("restarts and checks every service, and gives none more rights than it needs", () => {
    for (const [name, service] of Object.entries(services)) {
      assert.equal(service.restart, "unless-stopped", name);
      assert.ok(service.healthcheck, name);
      assert.ok(!service.privileged, name);
    }
  });

  it("takes secrets from .env alone", () => {
    for (const service of Object.values(services))
      for (const [key, value] of Object.entries(service.environment ?? {}))
        if (/PASSWORD|SECRET|KEY|TOKEN/.test(key)) assert.match(value, /^\$\{\w+:(\?|-)/, key);
  });
});

describe("the Dockerfiles", () => {
  it("pass hadolint, end as a user that is not root, and hold no secret", async () => {
    const files = (await readdir(path.join(root, "docker"))).filter((name) => name.endsWith(".Dockerfile"));
    assert.deepEqual(files.length, 3);
    for (const name of files) {
      const file = path.join(root, "docker", name);
      const { stdout } = await execa(path.join(root, ".venv-test/bin/hadolint"), ["--config", path.join(root, "docker/.hadolint.yaml"), file], {
        reject: false,
      });
      assert.equal(stdout, "", name);
      const text = await readFile(file, "utf8");
      const last = text.slice(text.lastIndexOf("\nFROM"));
      assert.match(last, /^USER 1000$/m, name);
      assert.doesNotMatch(text, /PASSWORD=|SECRET=|TOKEN=/);
    }
  });

  it("start the inference service with its allocator's settings", async () => {
    const text = await readFile(path.join(root, "docker/node.Dockerfile"), "utf8");
    for (const [name, value] of Object.entries(serviceAllocation)) assert.ok(text.includes(`\nENV ${name}=${value}\n`), name);
  });
});
