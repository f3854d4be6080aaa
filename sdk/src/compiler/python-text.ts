import type { Json } from "../authoring/json.ts";
import type { Expr, MappingAxis, PythonObject } from "../ir/ir.ts";

/** A JSON value as a Python literal. Text is escaped to ASCII, so that no character can end it or be mistaken. */
export function literal(value: Json): string {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "number") return JSON.stringify(value);
  if (typeof value === "string") return pythonText(value);
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  return `{${Object.entries(value)
    .map(([key, part]) => `${pythonText(key)}: ${literal(part)}`)
    .join(", ")}}`;
}

/** JSON's escapes are Python's, except that Python reads a surrogate pair as two characters: those become \U. */
function pythonText(text: string): string {
  let result = "";
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (code > 0xffff) result += `\\U${code.toString(16).padStart(8, "0")}`;
    else if (code < 0x20 || code > 0x7e) result += character === "\n" ? "\\n" : `\\u${code.toString(16).padStart(4, "0")}`;
    else if (character === '"' || character === "\\") result += `\\${character}`;
    else result += character;
  }
  return `"${result}"`;
}

export const delta = (seconds: number) => `timedelta(seconds=${seconds})`;

/** A day as a datetime in UTC. */
export function dayOf(date: string): string {
  const [year, month, day] = date.split("-").map(Number);
  return `datetime(${year}, ${month}, ${day}, tzinfo=timezone.utc)`;
}

const keywords =
  "False None True and as assert async await break class continue def del elif else except finally for from global if import in is lambda nonlocal not or pass raise return try while with yield".split(
    " ",
  );

/** The names of a Python file: what it imports, and what it calls its own. */
export interface Names {
  /** Notes that a name of airloom_runtime is used, and gives it. */
  use(name: string): string;
  /** Notes that a class is used, and gives its name. */
  useClass(module: string, className: string): string;
  /** A variable's name for an id, readable and unique. */
  variable(id: string): string;
  /** The import lines. */
  imports(): string[];
}

/** Every name that airloom_runtime may give: none of them may become a variable. */
const reserved = [
  ..."Asset AssetAlias AssetAll AssetAny AssetOrTimeSchedule AssetWatcher AsyncCallback BUNDLE CronDataIntervalTimetable CronTriggerTimetable DAG DeadlineAlert DeadlineReference Items".split(
    " ",
  ),
  ..."Label NodeContainer NodePod MultipleCronTriggerTimetable NodeBranch NodeSensor NodeShortCircuit NodeTask NODE_QUEUE Param TaskGroup WaitForTrigger conf datetime item jinja mapped_group node_callback result run".split(
    " ",
  ),
  ..."text timedelta timezone xcom zipped dag".split(" "),
];

/** Keeps the names of one Python file. */
export function collectNames(): Names {
  const used = new Set<string>();
  const classes = new Map<string, string>();
  const variables = new Map<string, string>();
  const taken = new Set([...keywords, ...reserved]);
  const unique = (base: string) => {
    let name = base;
    for (let n = 2; taken.has(name); n++) name = `${base}_${n}`;
    taken.add(name);
    return name;
  };
  return {
    use(name) {
      used.add(name);
      return name;
    },
    useClass(module, className) {
      if (module === "airloom_runtime") return this.use(className);
      const path = `${module}.${className}`;
      const known = classes.get(path);
      if (known) return known;
      const name = unique(className);
      classes.set(path, name);
      return name;
    },
    variable(id) {
      const known = variables.get(id);
      if (known) return known;
      const name = unique(id.replace(/\W/g, "_").replace(/^(?=\d)/, "_"));
      variables.set(id, name);
      return name;
    },
    imports() {
      const own = [...used].toSorted((a, b) => (a < b ? -1 : 1));
      const others = [...classes].map(([path, name]) => {
        const [module, className] = [path.slice(0, path.lastIndexOf(".")), path.slice(path.lastIndexOf(".") + 1)];
        return `from ${module} import ${className}${name === className ? "" : ` as ${name}`}`;
      });
      return [...others.toSorted(), `from airloom_runtime import ${own.join(", ")}`];
    },
  };
}

/** An expression as Python. */
export function expression(expr: Expr, names: Names): string {
  const call = (name: string, parts: readonly Json[]) => `${names.use(name)}(${parts.map(literal).join(", ")})`;
  const fields = (all: Readonly<Record<string, Expr>>) =>
    `{${Object.entries(all)
      .map(([key, part]) => `${literal(key)}: ${expression(part, names)}`)
      .join(", ")}}`;
  switch (expr.kind) {
    case "literal":
      return literal(expr.value);
    case "conf":
    case "run":
      return call(expr.kind, expr.path);
    case "item":
      return call("item", [expr.groupId, ...expr.path]);
    case "jinja":
      return call("jinja", [expr.source]);
    case "result":
      return expr.key === undefined ? call("result", [expr.taskId, ...expr.path]) : call("xcom", [expr.taskId, expr.key, ...expr.path]);
    case "template":
      return `${names.use("text")}(${expr.parts.map((part) => expression(part, names)).join(", ")})`;
    case "list":
      return `[${expr.items.map((item) => expression(item, names)).join(", ")}]`;
    case "object":
      return fields(expr.fields);
    case "zip":
      return `${names.use("zipped")}(${fields(expr.fields)})`;
    case "duration":
      names.use("timedelta");
      return delta(expr.seconds);
    case "moment":
      return `${names.use("datetime")}.fromisoformat(${literal(expr.iso)})`;
  }
}

/** What a mapped task goes over: a literal list, or the output of the task that makes it. */
export const overOf = (over: MappingAxis["over"], names: Names): string =>
  over.kind === "literal" ? literal(over.value) : `${names.variable(over.taskId)}.output`;

/** A Python object as the call that makes it. */
export function construct(object: PythonObject, names: Names): string {
  const args = Object.entries(object.args).map(([key, value]) => `${key}=${expression(value, names)}`);
  return `${names.useClass(object.module, object.className)}(${args.join(", ")})`;
}
