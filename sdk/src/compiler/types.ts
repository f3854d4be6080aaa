/**
 * Reads types and JSDoc from TypeScript sources: the only file that knows ts-morph, and of it only the compiler that it
 * brings and the library files beside that. Nothing is executed here.
 */
import { getLibFiles, ts } from "@ts-morph/common";
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

/** The types of a project's DAG files; what did not change between two programs is not read again. */
export interface TypeReader {
  /** Takes in the files as they are now. */
  load(files: readonly string[]): void;
  /** Type errors of a DAG file go to `diagnostics`, with what its types say that is not JSON. */
  read(file: string, definedAt: CallSite | undefined, diagnostics: Diagnostic[]): DagTypes;
}

const libraryFolder = "/airloom-typescript-library";
const libraries = new Map<string, ts.SourceFile>();

/** One of TypeScript's own declaration files: ts-morph carries them as text. */
function libraryFile(name: string): ts.SourceFile | undefined {
  const known = libraries.get(name);
  if (known) return known;
  const text = getLibFiles().find((file) => file.fileName === name)?.text;
  if (text === undefined) return undefined;
  const source = ts.createSourceFile(`${libraryFolder}/${name}`, text, ts.ScriptTarget.ES2023);
  libraries.set(name, source);
  return source;
}

const nothing: Schema = { type: "object", properties: {}, required: [] };

/** Opens the project of a tsconfig.json; without one, TypeScript's strict defaults hold. */
export function openTypes(tsConfigFile: string | undefined): TypeReader {
  const options = compilerOptions(tsConfigFile);
  const cache = new Map<string, { version: string; source: ts.SourceFile }>();
  const host = ts.createCompilerHost(options, true);
  const parse = host.getSourceFile.bind(host);
  host.getDefaultLibLocation = () => libraryFolder;
  host.getDefaultLibFileName = (given) => `${libraryFolder}/${ts.getDefaultLibFileName(given)}`;
  host.getSourceFile = (file, ...rest) => {
    if (file.startsWith(libraryFolder)) return libraryFile(file.slice(libraryFolder.length + 1));
    // Of packages and TypeScript's own libraries nothing changes while we run.
    const version = file.includes("/node_modules/") ? "" : String(ts.sys.getModifiedTime?.(file)?.getTime());
    const known = cache.get(file);
    if (known?.version === version) return known.source;
    const source = parse(file, ...rest);
    if (source) cache.set(file, { version, source });
    return source;
  };
  let program: ts.Program | undefined;
  return {
    load(files) {
      program = ts.createProgram({ rootNames: [...files], options, host, ...(program ? { oldProgram: program } : {}) });
    },
    read: (file, definedAt, diagnostics) => readTypes(program!, file, definedAt, diagnostics),
  };
}

function compilerOptions(tsConfigFile: string | undefined): ts.CompilerOptions {
  const strict: ts.CompilerOptions = {
    strict: true,
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    allowImportingTsExtensions: true,
  };
  const given = tsConfigFile
    ? ts.getParsedCommandLineOfConfigFile(tsConfigFile, {}, { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => {} })?.options
    : strict;
  return { ...(given ?? strict), noEmit: true, skipLibCheck: true, incremental: false, composite: false, declaration: false, sourceMap: false };
}

interface Reader {
  readonly checker: ts.TypeChecker;
  readonly diagnostics: Diagnostic[];
  /** Types being read, so that a recursive one ends. */
  readonly seen: ts.Type[];
}

function readTypes(program: ts.Program, file: string, definedAt: CallSite | undefined, diagnostics: Diagnostic[]): DagTypes {
  const source = program.getSourceFile(file);
  if (!source) return { conf: nothing, doc: undefined, taskAt: () => undefined };
  for (const found of [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)])
    diagnostics.push({
      code: `TS${found.code}`,
      message: ts.flattenDiagnosticMessageText(found.messageText, " "),
      at: placeAt(found.file ?? source, found.start ?? 0),
    });
  const reader: Reader = { checker: program.getTypeChecker(), diagnostics, seen: [] };
  const dagCall = definedAt && callAt(program, definedAt);
  const confNode = dagCall?.typeArguments?.[0];
  const conf = dagCall && confNode ? objectSchema(reader.checker.getTypeFromTypeNode(confNode), dagCall, reader) : nothing;
  const exported = source.statements.find((statement) => ts.isExportAssignment(statement) && !statement.isExportEquals);
  return {
    conf,
    doc: exported && docOf(exported),
    taskAt(site) {
      const call = callAt(program, site);
      if (!call) return undefined;
      const handler = call.arguments[2];
      const parameter = handler && reader.checker.getTypeAtLocation(handler).getCallSignatures()[0]?.getParameters()[0];
      const statement = ts.findAncestor(call, ts.isVariableStatement);
      const doc = statement && docOf(statement);
      return { input: parameter ? objectSchema(reader.checker.getTypeOfSymbolAtLocation(parameter, call), call, reader) : nothing, doc };
    },
  };
}

const placeAt = (source: ts.SourceFile, position: number): CallSite => {
  const { line, character } = source.getLineAndCharacterOfPosition(position);
  return { file: source.fileName, line: line + 1, column: character + 1 };
};
const placeOf = (node: ts.Node) => placeAt(node.getSourceFile(), node.getStart());

/** The call that a stack trace pointed at: it may name the callee's start or its last name. */
function callAt(program: ts.Program, { file, line, column }: CallSite): ts.CallExpression | undefined {
  const source = program.getSourceFile(file);
  if (!source || line > source.getLineStarts().length) return undefined;
  const lineStart = source.getPositionOfLineAndCharacter(line - 1, 0);
  const position = lineStart + column - 1;
  let best: ts.CallExpression | undefined;
  let first: ts.CallExpression | undefined;
  const visit = (node: ts.Node): void => {
    if (node.end < lineStart || node.pos > position) return;
    if (ts.isCallExpression(node) && placeOf(node).line === line) {
      first ??= node;
      if (node.getStart() === position) best ??= node;
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return best ?? first;
}

function docOf(node: ts.Node): string | undefined {
  const comments = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc);
  const text = ts.getTextOfJSDocComment(comments.at(-1)?.comment)?.trim();
  return text || undefined;
}

/** The schema of an object type's properties. Further ones are allowed, as in TypeScript. */
function objectSchema(type: ts.Type, at: ts.Node, reader: Reader): Schema {
  const properties: Record<string, Json> = {};
  const required: string[] = [];
  for (const property of reader.checker.getPropertiesOfType(type)) {
    const declaration = property.valueDeclaration ?? property.declarations?.[0];
    const schema = schemaOf(reader.checker.getTypeOfSymbolAtLocation(property, at), declaration ?? at, reader, property.name);
    properties[property.name] = { ...schema, ...tagsOf(property, declaration ?? at, reader) };
    if (!(property.flags & ts.SymbolFlags.Optional)) required.push(property.name);
  }
  return { type: "object", properties, required };
}

const notJson = ["Date", "Map", "Set", "WeakMap", "WeakSet", "Promise", "Buffer", "RegExp", "Error"];
const is = (type: ts.Type, flags: ts.TypeFlags) => (type.flags & flags) !== 0;

function schemaOf(type: ts.Type, at: ts.Node, reader: Reader, name: string): Schema {
  const { checker } = reader;
  if (reader.seen.includes(type)) return {};
  if (is(type, ts.TypeFlags.Any | ts.TypeFlags.Unknown)) return {};
  if (is(type, ts.TypeFlags.Null)) return { type: "null" };
  if (is(type, ts.TypeFlags.Boolean)) return { type: "boolean" };
  if (is(type, ts.TypeFlags.String | ts.TypeFlags.TemplateLiteral)) return { type: "string" };
  if (is(type, ts.TypeFlags.Number)) return { type: "number" };
  if (isLiteral(type)) return { const: literalOf(type, checker) };
  if (type.isUnion()) return unionSchema(type, at, reader, name);
  if (checker.isTupleType(type)) {
    const items = checker.getTypeArguments(type as ts.TypeReference).map((part, i) => schemaOf(part, at, reader, `${name}[${i}]`));
    return { type: "array", prefixItems: items, minItems: items.length, maxItems: items.length };
  }
  if (checker.isArrayType(type)) return { type: "array", items: schemaOf(checker.getTypeArguments(type as ts.TypeReference)[0]!, at, reader, `${name}[]`) };
  const isObject = is(type, ts.TypeFlags.Object | ts.TypeFlags.Intersection | ts.TypeFlags.NonPrimitive);
  if (!isObject || type.getCallSignatures().length > 0 || notJson.includes(type.symbol?.name ?? "")) {
    const message = `${name} is ${checker.typeToString(type)}, which is not JSON: use text, numbers, booleans, null, arrays and plain objects`;
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

const isLiteral = (type: ts.Type) => is(type, ts.TypeFlags.StringLiteral | ts.TypeFlags.NumberLiteral | ts.TypeFlags.BooleanLiteral | ts.TypeFlags.EnumLiteral);
const literalOf = (type: ts.Type, checker: ts.TypeChecker): Json =>
  is(type, ts.TypeFlags.BooleanLiteral) ? checker.typeToString(type) === "true" : ((type as ts.LiteralType).value as string | number);

function unionSchema(type: ts.UnionType, at: ts.Node, reader: Reader, name: string): Schema {
  const parts = type.types.filter((part) => !is(part, ts.TypeFlags.Undefined));
  const nullable = parts.some((part) => is(part, ts.TypeFlags.Null));
  const values = parts.filter((part) => !is(part, ts.TypeFlags.Null));
  const isBoolean = (part: ts.Type) => is(part, ts.TypeFlags.BooleanLiteral);
  if (values.length > 0 && values.every((part) => isLiteral(part) && !isBoolean(part))) {
    const literals = values.map((part) => literalOf(part, reader.checker));
    const kinds = [...new Set(literals.map((literal) => typeof literal))];
    return { type: nullable ? [...kinds, "null"] : (kinds[0] ?? "string"), enum: nullable ? [...literals, null] : literals };
  }
  const others = values.filter((part) => !isBoolean(part)).map((part) => schemaOf(part, at, reader, name));
  const schemas = others.length < values.length ? [{ type: "boolean" }, ...others] : others;
  if (schemas.length === 1 && !nullable) return schemas[0]!;
  if (schemas.length === 1 && typeof schemas[0]!["type"] === "string") return { ...schemas[0]!, type: [schemas[0]!["type"], "null"] };
  return { anyOf: nullable ? [...schemas, { type: "null" }] : schemas };
}

const numberTags = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems"];
const textTags = ["title", "format", "pattern", "section", "description_md"];
const jsonTags = ["default", "examples", "values_display"];

/** Schema keywords from a property's doc comment. */
function tagsOf(property: ts.Symbol, at: ts.Node, reader: Reader): Schema {
  const extra: Schema = {};
  const { description, tags } = commentOf(property, at, reader);
  if (description) extra["description"] = description;
  const wrong = (message: string) => reader.diagnostics.push({ code: "AL202", message, at: placeOf(at) });
  for (const { name, text } of tags) {
    if (numberTags.includes(name)) {
      if (text === "" || Number.isNaN(Number(text))) wrong(`@${name} of ${property.name} is not a number`);
      else extra[name] = Number(text);
    } else if (textTags.includes(name)) extra[name] = text;
    else if (name === "asType") extra["type"] = text;
    else if (jsonTags.includes(name)) {
      try {
        extra[name] = JSON.parse(text) as Json;
      } catch {
        wrong(`@${name} ${text} of ${property.name} is not JSON${/^\w/.test(text) ? `: write "${text}" in double quotes` : ""}`);
      }
    }
  }
  return extra;
}

interface Comment {
  readonly description: string;
  readonly tags: readonly { readonly name: string; readonly text: string }[];
}

/** A property's doc comment, also one on the line of the brace before it, which TypeScript itself passes over. */
function commentOf(property: ts.Symbol, at: ts.Node, { checker }: Reader): Comment {
  const description = ts.displayPartsToString(property.getDocumentationComment(checker)).trim();
  const tags = property.getJsDocTags(checker).map((tag) => ({ name: tag.name, text: ts.displayPartsToString(tag.text).trim() }));
  if (description !== "" || tags.length > 0 || !ts.isPropertySignature(at)) return { description, tags };
  const comment = /\/\*\*[^]*?\*\//.exec(at.getSourceFile().text.slice(at.pos, at.getStart()))?.[0];
  if (!comment) return { description, tags };
  const alone = ts.createSourceFile("comment.ts", `interface X {\n${comment}\nx: 1 }`, ts.ScriptTarget.ES2023, true);
  const member = (alone.statements[0] as ts.InterfaceDeclaration).members[0]!;
  const found = ts.getJSDocCommentsAndTags(member).find(ts.isJSDoc);
  return {
    description: ts.getTextOfJSDocComment(found?.comment)?.trim() ?? "",
    tags: ts.getJSDocTags(member).map((tag) => ({ name: tag.tagName.text, text: ts.getTextOfJSDocComment(tag.comment)?.trim() ?? "" })),
  };
}

/** What a module exports, for the reference: its name, its kind, its declaration without the body, and its doc comment. */
export interface ExportedName {
  readonly name: string;
  readonly kind: "function" | "interface" | "type" | "class" | "constant";
  readonly text: string;
  readonly doc: string;
}

/** The exports of a module, in order of their names. */
export function exportsOf(tsConfigFile: string | undefined, file: string): ExportedName[] {
  const program = ts.createProgram({ rootNames: [file], options: compilerOptions(tsConfigFile) });
  const checker = program.getTypeChecker();
  const module = checker.getSymbolAtLocation(program.getSourceFile(file)!);
  return (module ? checker.getExportsOfModule(module) : [])
    .map((symbol) => (symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol))
    .map((symbol) => {
      const declaration = symbol.declarations![0]!;
      const doc = ts.displayPartsToString(symbol.getDocumentationComment(checker)).trim();
      const text = declaration.getText();
      const kind = ts.isFunctionDeclaration(declaration)
        ? "function"
        : ts.isInterfaceDeclaration(declaration)
          ? "interface"
          : ts.isClassDeclaration(declaration)
            ? "class"
            : ts.isTypeAliasDeclaration(declaration)
              ? "type"
              : "constant";
      const body = ts.isFunctionDeclaration(declaration) ? declaration.body : undefined;
      const shown = body ? text.slice(0, body.getStart() - declaration.getStart()).trim() : text;
      return { name: symbol.name, kind, text: shown.replace(/^export /, ""), doc } as const;
    })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}
