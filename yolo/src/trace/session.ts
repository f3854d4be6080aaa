import { backend } from "../nn/kernels.ts";

/** A value that is fed to a graph. */
export interface Feed {
  /** TensorFlow's number of the element type. */
  readonly type: number;
  readonly shape: readonly number[];
  readonly values: Float32Array | Int32Array | Uint8Array;
}

interface SavedModelBinding {
  loadSavedModel(folder: string, tags: string): number;
  /** Names are joined by commas. */
  runSavedModel(session: number, inputs: readonly number[], inputNames: string, outputNames: string): { readonly id: number }[];
  deleteSavedModel(session: number): void;
  createTensor(shape: readonly number[], type: number, values: ArrayLike<number>): number;
  tensorDataSync(id: number): Float32Array;
  deleteTensor(id: number): void;
}

const native = () => backend.binding as unknown as SavedModelBinding;

/** A TensorFlow session of a SavedModel, with the graph's variables in it. */
export class Session {
  readonly #id: number;

  /** Loads `saved_model.pb` in a folder, which is not needed afterwards. */
  constructor(folder: string) {
    this.#id = native().loadSavedModel(folder, "serve");
  }

  /** The first outputs of the nodes `outputs`, all float32; feeds are by the names of their placeholders. */
  run(feeds: Readonly<Record<string, Feed>>, outputs: readonly string[]): Float32Array[] {
    const binding = native();
    const names = Object.keys(feeds);
    const ids = names.map((name) => binding.createTensor(feeds[name]!.shape, feeds[name]!.type, feeds[name]!.values));
    try {
      const made = binding.runSavedModel(this.#id, ids, names.map((name) => `${name}:0`).join(","), outputs.map((name) => `${name}:0`).join(","));
      return made.map(({ id }) => {
        const values = Float32Array.from(binding.tensorDataSync(id));
        binding.deleteTensor(id);
        return values;
      });
    } finally {
      for (const id of ids) binding.deleteTensor(id);
    }
  }

  dispose(): void {
    native().deleteSavedModel(this.#id);
  }
}
