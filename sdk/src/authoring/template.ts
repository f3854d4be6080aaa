import { makeRef, type Ref, toExpr } from "./ref.ts";

/** Text with references in it, put together when the DAG runs: template`batch ${batch.id}`. */
export function template(strings: TemplateStringsArray, ...values: readonly (Ref<string> | Ref<number> | string | number)[]): Ref<string> {
  const parts = strings.flatMap((text, i) => {
    const around = text === "" ? [] : [toExpr(text)];
    return i < values.length ? [...around, toExpr(values[i], `value ${i + 1} of the template`)] : around;
  });
  return makeRef({ kind: "template", parts });
}
