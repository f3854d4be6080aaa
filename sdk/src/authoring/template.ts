import { makeRef, type Ref, toExpr } from "./ref.ts";

type Part = Ref<string> | Ref<number> | Ref<string | null> | string | number;

/** Text with references in it, put together when the DAG runs: template`batch ${batch.id}`. */
export function template(strings: TemplateStringsArray, ...values: readonly Part[]): Ref<string> {
  const parts = strings.flatMap((text, i) => {
    const around = text === "" ? [] : [toExpr(text)];
    return i < values.length ? [...around, toExpr(values[i], `value ${i + 1} of the template`)] : around;
  });
  return makeRef({ kind: "template", parts });
}

/** Text that Airflow renders with Jinja when the task runs: jinja("{{ ds }}/{{ params.name }}"). All other text stays as it is. */
export const jinja = (source: string): Ref<string> => makeRef({ kind: "jinja", source });
