/**
 * Reads types and JSDoc from TypeScript sources: the only file that knows ts-morph. Nothing is executed here.
 */
import { type CallExpression, Node, Project, type Symbol as MorphSymbol, ts, type Type } from "ts-morph";
import type { CallSite } from "../authoring/call-site.ts";
import type { Json } from "../authoring/json.ts";
import type { Diagnostic } from "./diagnostic.ts";

/** A JSON Schema, draft 2020-12, as far as types lead. */
export type Schema = { [key: string]: Json };

/** What the types of one DAG file say. */
export interface DagTypes {
  /** The conf's schema: an object with a property for each key. */
  readonly conf: Schema;
  /** The doc comment of the default export. */
  readonly doc: string | undefined;
  /** The schema of a task's input and its doc comment, by the place of its definition. */
  taskAt(site: CallSite): { input: Schema; doc: string | undefined } | undefined;
}

/** Type errors of the DAG file and the types that the compiler needs. */
export function readTypes(tsConfigFile: string | undefined, file: string, definedAt: CallSite | undefined, diagnostics: Diagnostic[]): DagTypes {
  const project = new Project({
    ...(tsConfigFile ? { tsConfigFilePath: tsConfigFile } : {}),
    skipAddingFilesFromTsConfig: true,
    compilerOptions: { noEmit: true, skipLibCheck: true, allowJs: false, checkJs: false },
  });
  const source = project.addSourceFileAtPath(file);
  project.resolveSourceFileDependencies();
  for (const found of source.getPreEmitDiagnostics()) {
    const { line, column } = source.getLineAndColumnAtPos(found.getStart() ?? 0);
    diagnostics.push({
      code: `TS${found.getCode()}`,
      message: ts.flattenDiagnosticMessageText(found.compilerObject.messageText, " "),
      at: { file, line, column },
    });
  }
  const reader = { diagnostics, seen: [] as Type[] };
  const dagCall = definedAt && callAt(project, definedAt);
  const confType = dagCall?.getTypeArguments()[0]?.getType();
  const conf: Schema = dagCall && confType ? objectSchema(confType, dagCall, reader) : { type: "object", properties: {}, required: [] };
  const exported = source.getExportAssignment((assignment) => !assignment.isExportEquals());
  return {
    conf,
    doc: exported ? docOf(exported) : undefined,
    taskAt(site) {
      const call = callAt(project, site);
      const handler = call?.getArguments()[2];
      const parameter = handler?.getType().getCallSignatures()[0]?.getParameters()[0];
      if (!call) return undefined;
      const statement = call.getFirstAncestor(Node.isVariableStatement);
      const doc = statement && docOf(statement);
      if (!parameter) return { input: { type: "object", properties: {}, required: [] }, doc };
      return { input: objectSchema(parameter.getTypeAtLocation(call), call, reader), doc };
    },
  };
}

interface Reader {
  readonly diagnostics: Diagnostic[];
  /** Types being read, so that a recursive one ends. */
  readonly seen: Type[];
}

/** The call that a stack trace pointed at: it may name the callee's start or its last name. */
function callAt(project: Project, { file, line, column }: CallSite): CallExpression | undefined {
  const source = project.getSourceFile(file);
  if (!source) return undefined;
  const calls = source.getDescendants().filter(Node.isCallExpression);
  const onLine = calls.filter((call) => source.getLineAndColumnAtPos(call.getStart()).line === line);
  return onLine.find((call) => source.getLineAndColumnAtPos(call.getStart()).column === column) ?? onLine[0];
}

function docOf(node: Node): string | undefined {
  if (!Node.isJSDocable(node)) {
    const comment = node.getLeadingCommentRanges().at(-1)?.getText();
    return comment?.startsWith("/**") ? cleanComment(comment) : undefined;
  }
  return node.getJsDocs().at(-1)?.getDescription().trim() || undefined;
}

const cleanComment = (comment: string) =>
  comment
    .replace(/^\/\*\*|\*\/$/g, "")
    .split("\n")
    .map((line) => line.replace(/^\s*\*?\s?/, ""))
    .join("\n")
    .trim() || undefined;

function placeOf(node: Node): CallSite {
  const { line, column } = node.getSourceFile().getLineAndColumnAtPos(node.getStart());
  return { file: node.getSourceFile().getFilePath(), line, column };
}

/** The schema of an object type's properties. Further ones are allowed, as in TypeScript. */
function objectSchema(type: Type, at: Node, reader: Reader): Schema {
  const properties: Record<string, Json> = {};
  const required: string[] = [];
  for (const property of type.getProperties()) {
    const declaration = property.getValueDeclaration() ?? property.getDeclarations()[0];
    const schema = schemaOf(property.getTypeAtLocation(at), declaration ?? at, reader, property.getName());
    properties[property.getName()] = { ...schema, ...tagsOf(property, declaration ?? at, reader) };
    if (!property.isOptional()) required.push(property.getName());
  }
  return { type: "object", properties, required };
}

function schemaOf(type: Type, at: Node, reader: Reader, name: string): Schema {
  if (reader.seen.includes(type)) return {};
  if (type.isAny() || type.isUnknown()) return {};
  if (type.isNull()) return { type: "null" };
  if (type.isBoolean()) return { type: "boolean" };
  if (type.isString() || type.isTemplateLiteral()) return { type: "string" };
  if (type.isNumber()) return { type: "number" };
  if (type.isLiteral()) return { const: literalOf(type) };
  if (type.isUnion()) return unionSchema(type, at, reader, name);
  const element = type.isTuple() ? undefined : (type.getArrayElementType() ?? (type.isReadonlyArray() ? type.getTypeArguments()[0] : undefined));
  if (element) return { type: "array", items: schemaOf(element, at, reader, `${name}[]`) };
  if (type.isTuple()) {
    const items = type.getTupleElements().map((part, i) => schemaOf(part, at, reader, `${name}[${i}]`));
    return { type: "array", prefixItems: items, minItems: items.length, maxItems: items.length };
  }
  const className = type.getSymbol()?.getName() ?? "";
  const isJson =
    type.isObject() && type.getCallSignatures().length === 0 && !["Date", "Map", "Set", "WeakMap", "WeakSet", "Promise", "Buffer"].includes(className);
  if (!isJson) {
    const message = `${name} is ${type.getText(at)}, which is not JSON: use text, numbers, booleans, null, arrays and plain objects`;
    reader.diagnostics.push({ code: "AL201", message, at: placeOf(at) });
    return {};
  }
  reader.seen.push(type);
  try {
    const values = type.getStringIndexType();
    if (values && type.getProperties().length === 0) return { type: "object", additionalProperties: schemaOf(values, at, reader, `${name}.*`) };
    return objectSchema(type, at, reader);
  } finally {
    reader.seen.pop();
  }
}

const literalOf = (type: Type): Json => (type.isBooleanLiteral() ? type.getText() === "true" : (type.getLiteralValue() as string | number));

function unionSchema(type: Type, at: Node, reader: Reader, name: string): Schema {
  const parts = type.getUnionTypes().filter((part) => !part.isUndefined());
  const nullable = parts.some((part) => part.isNull());
  const values = parts.filter((part) => !part.isNull());
  if (values.every((part) => part.isLiteral() && !part.isBooleanLiteral())) {
    const literals = values.map(literalOf);
    const kinds = [...new Set(literals.map((literal) => typeof literal))];
    return { type: nullable ? [...kinds, "null"] : (kinds[0] ?? "string"), enum: nullable ? [...literals, null] : literals };
  }
  const isBoolean = values.length === 2 && values.every((part) => part.isBooleanLiteral());
  const schemas = isBoolean ? [{ type: "boolean" }] : values.map((part) => schemaOf(part, at, reader, name));
  if (schemas.length === 1 && !nullable) return schemas[0]!;
  if (schemas.length === 1 && typeof schemas[0]!["type"] === "string") return { ...schemas[0]!, type: [schemas[0]!["type"], "null"] };
  return { anyOf: nullable ? [...schemas, { type: "null" }] : schemas };
}

const numberTags = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems"];
const textTags = ["title", "format", "pattern"];

/** Schema keywords from a property's doc comment. */
function tagsOf(property: MorphSymbol, at: Node, reader: Reader): Schema {
  const extra: Schema = {};
  const description = ts.displayPartsToString(property.compilerSymbol.getDocumentationComment(undefined)).trim();
  if (description) extra["description"] = description;
  for (const tag of property.getJsDocTags()) {
    const name = tag.getName();
    const text = ts.displayPartsToString(tag.getText()).trim();
    if (numberTags.includes(name)) extra[name] = Number(text);
    else if (textTags.includes(name)) extra[name] = text;
    else if (name === "asType") extra["type"] = text;
    else if (name === "examples" || name === "default") {
      try {
        extra[name] = JSON.parse(text) as Json;
      } catch {
        const message = `@${name} ${text} of ${property.getName()} is not JSON${/^\w/.test(text) ? `: write "${text}" in double quotes` : ""}`;
        reader.diagnostics.push({ code: "AL202", message, at: placeOf(at) });
      }
    }
  }
  for (const [key, value] of Object.entries(extra))
    if (typeof value === "number" && Number.isNaN(value))
      reader.diagnostics.push({ code: "AL202", message: `@${key} of ${property.getName()} is not a number`, at: placeOf(at) });
  return extra;
}
