/**
 * The YOLOv8 detection network, written once and read by several interpreters: one collects the parameters, one trains,
 * one predicts, one writes ONNX. A C2f block is the gradient-flow split of CSPNet (arXiv 1911.11929) and ELAN
 * (arXiv 2211.04800); the neck is PAN (arXiv 1803.01534); the head is decoupled and anchor-free (FCOS, arXiv 1904.01355)
 * and predicts box sides as distributions (arXiv 2006.04388). Widths and depths agree with keras-cv's YOLOV8 (Apache-2.0).
 */

/** What an interpreter of the network provides; `T` is its kind of feature map. */
export interface Layers<T> {
  /** Convolution without bias, padded to keep `ceil(size / stride)`, then batch norm, then SiLU. */
  conv(name: string, x: T, shape: { readonly out: number; readonly kernel: 1 | 3; readonly stride: 1 | 2 }): T;
  /** The head's last 1×1 convolution, with bias; `initial` gives the bias before training. */
  project(name: string, x: T, shape: { readonly out: number; readonly initial: number }): T;
  /** The two halves of the channels. */
  halve(x: T): readonly [T, T];
  concat(name: string, xs: readonly T[]): T;
  add(name: string, a: T, b: T): T;
  /** Nearest-neighbour, ×2 in both directions. */
  upsample(x: T): T;
  /** 5×5, stride 1, padded with −∞. */
  maxPool(x: T): T;
}

/** Depth and width multiples of the five sizes, and the widest layer before the width multiple. */
export const sizes = {
  n: { depth: 0.33, width: 0.25, widest: 1024 },
  s: { depth: 0.33, width: 0.5, widest: 1024 },
  m: { depth: 0.67, width: 0.75, widest: 768 },
  l: { depth: 1, width: 1, widest: 512 },
  x: { depth: 1, width: 1.25, widest: 512 },
} as const;

export type Size = keyof typeof sizes;

export interface ModelConfig {
  readonly size: Size;
  /** Number of classes. */
  readonly classes: number;
}

/** Bins of each box side's distribution: a side is at most 15 strides long (arXiv 2006.04388, eq. 3). */
export const bins = 16;

/** Pixels between neighbouring cells of the three levels, P3 to P5. */
export const strides = [8, 16, 32] as const;

/** One level's raw predictions: `box` has 4 × bins channels (left, top, right, bottom), `cls` one a class (logits). */
export interface Level<T> {
  readonly box: T;
  readonly cls: T;
  readonly stride: number;
}

/** The predictions of the three levels for the picture `x`. */
export function yolov8<T>(nn: Layers<T>, x: T, { size, classes }: ModelConfig): Level<T>[] {
  const { depth, width, widest } = sizes[size];
  const ch = (channels: number) => Math.ceil((Math.min(channels, widest) * width) / 8) * 8;
  const repeats = (n: number) => Math.max(1, Math.round(n * depth));

  const down = (name: string, from: T, out: number) => nn.conv(name, from, { out, kernel: 3, stride: 2 });

  function c2f(name: string, from: T, out: number, n: number, residual: boolean): T {
    const half = out / 2;
    const parts = [...nn.halve(nn.conv(`${name}.split`, from, { out, kernel: 1, stride: 1 }))];
    for (let i = 0; i < n; i++) {
      const last = parts.at(-1) as T;
      const inner = nn.conv(`${name}.block${i}.a`, last, { out: half, kernel: 3, stride: 1 });
      const outer = nn.conv(`${name}.block${i}.b`, inner, { out: half, kernel: 3, stride: 1 });
      parts.push(residual ? nn.add(`${name}.block${i}.sum`, last, outer) : outer);
    }
    return nn.conv(`${name}.merge`, nn.concat(`${name}.parts`, parts), { out, kernel: 1, stride: 1 });
  }

  function sppf(name: string, from: T, out: number): T {
    const first = nn.conv(`${name}.reduce`, from, { out: out / 2, kernel: 1, stride: 1 });
    const second = nn.maxPool(first);
    const third = nn.maxPool(second);
    return nn.conv(`${name}.merge`, nn.concat(`${name}.parts`, [first, second, third, nn.maxPool(third)]), { out, kernel: 1, stride: 1 });
  }

  // Backbone: five halvings of the picture.
  const p2 = c2f("backbone.c2", down("backbone.down2", down("backbone.stem", x, ch(64)), ch(128)), ch(128), repeats(3), true);
  const p3 = c2f("backbone.c3", down("backbone.down3", p2, ch(256)), ch(256), repeats(6), true);
  const p4 = c2f("backbone.c4", down("backbone.down4", p3, ch(512)), ch(512), repeats(6), true);
  const c5 = c2f("backbone.c5", down("backbone.down5", p4, ch(1024)), ch(1024), repeats(3), true);
  const p5 = sppf("backbone.sppf", c5, ch(1024));

  // Neck: from coarse to fine, and back.
  const n4 = c2f("neck.up4", nn.concat("neck.up4.in", [nn.upsample(p5), p4]), ch(512), repeats(3), false);
  const out3 = c2f("neck.up3", nn.concat("neck.up3.in", [nn.upsample(n4), p3]), ch(256), repeats(3), false);
  const out4 = c2f("neck.down4", nn.concat("neck.down4.in", [down("neck.to4", out3, ch(256)), n4]), ch(512), repeats(3), false);
  const out5 = c2f("neck.down5", nn.concat("neck.down5.in", [down("neck.to5", out4, ch(512)), p5]), ch(1024), repeats(3), false);

  // Head: one branch for boxes and one for classes, on each level.
  const boxChannels = Math.max(16, ch(256) / 4, 4 * bins);
  const clsChannels = Math.max(ch(256), Math.min(classes, 100));
  return [out3, out4, out5].map((from, i) => {
    const stride = strides[i]!;
    const branch = (name: string, channels: number) => {
      const a = nn.conv(`${name}.a`, from, { out: channels, kernel: 3, stride: 1 });
      return nn.conv(`${name}.b`, a, { out: channels, kernel: 3, stride: 1 });
    };
    const level = `head.p${i + 3}`;
    return {
      box: nn.project(`${level}.box.out`, branch(`${level}.box`, boxChannels), { out: 4 * bins, initial: 1 }),
      // The prior that about five objects of any class stand in a 640 px picture (focal loss's trick, arXiv 1708.02002, 4.1).
      cls: nn.project(`${level}.cls.out`, branch(`${level}.cls`, clsChannels), {
        out: classes,
        initial: Math.log(5 / classes / (640 / stride) ** 2),
      }),
      stride,
    };
  });
}
