/**
 * Reads NVIDIA's public TensorRT headers and says which virtual method sits in which slot. It follows the part of C++
 * those headers are written in (comments, conditional compilation, namespaces, versioned interfaces behind `using`,
 * single inheritance, overrides, overloads) and the Itanium C++ ABI of Linux: a first virtual destructor takes two
 * slots, an override keeps its base's slot, everything else takes the next one in the order of declaration. Left out:
 * macros that expand to declarations, virtual inheritance, the second and later bases, and the Microsoft ABI.
 */

import { NativeError } from "../error.ts";
import { FIRST_SLOT, type Flavour } from "./layout.ts";

/** One entry of a virtual table for a destructor; there are two, the complete and the deleting one. */
export const DESTRUCTOR = "~";

/** A public interface as the headers declare it: a shell with a pointer to its implementation's methods. */
export interface InterfaceHeader {
  /** Class behind the pointer: "VTensor" for ITensor. */
  readonly implementation: string;
  /** Where the object keeps that pointer; `undefined` if a member whose size is not known comes first. */
  readonly offsetBytes: number | undefined;
  /** The implementation's methods, the first being slot `FIRST_SLOT`; overloads appear once each. */
  readonly methods: readonly string[];
}

/** What a folder of TensorRT headers promises about the library that comes with it. */
export interface TensorRtHeaders {
  readonly flavour: Flavour;
  /** "10.16", as `Layout.version`. */
  readonly version: string;
  /** What `getInferLibVersion()` answers: `NV_TENSORRT_VERSION`, 101600 for 10.16.0 and 10701 for RTX 1.7.1. */
  readonly libVersion: number;
  /** Slot of `ILogger::log`. */
  readonly loggerSlot: number;
  /** Slot of `IProgressMonitor::phaseStart`; the other two methods follow it. */
  readonly progressSlot: number;
  readonly interfaces: Readonly<Record<string, InterfaceHeader>>;
}

/** The headers that are read, includers after what they include, since macros must be known before they are used. */
const FILES = [
  "NvInferVersion.h",
  "NvInferRuntimeBase.h",
  "NvInferImpl.h",
  "NvInferRuntime.h",
  "NvInfer.h",
] as const;

/**
 * Reads the headers in `directory`, which is an include folder or a checkout or download with `include/` in it.
 *
 * @throws NativeError if a header is missing, cannot be read or cannot be understood.
 */
export async function readHeaders(directory: string): Promise<TensorRtHeaders> {
  const tried: string[] = [];
  for (const folder of [directory, `${directory.replace(/\/+$/, "")}/include`]) {
    const files = new Map<string, string>();
    for (const name of FILES) {
      try {
        files.set(name, await Deno.readTextFile(`${folder}/${name}`));
      } catch (error) {
        if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) break;
        throw new NativeError(
          `cannot read ${folder}/${name}: ${error instanceof Error ? error.message : error}`,
        );
      }
    }
    if (files.size === FILES.length) return parseHeaders(files);
    const missing = FILES[files.size];
    tried.push(`${folder} has no ${missing}`);
  }
  throw new NativeError(
    `no TensorRT headers: ${tried.join("; ")}. Give the include folder of a TensorRT download or checkout.`,
  );
}

/**
 * The same from texts by file name, in the order in which they include each other. The version and flavour come from
 * NvInferVersion.h and NvInferRuntimeBase.h, interfaces from every class that holds an `apiv::V…*`.
 *
 * @throws NativeError if the version is not stated, a class is not closed or a named class is not declared.
 */
export function parseHeaders(files: ReadonlyMap<string, string>): TensorRtHeaders {
  const macros = new Map<string, string>(PREDEFINED);
  const classes = new Classes();
  for (const [name, text] of files) classes.read(name, preprocess(text, { file: name, macros }), macros);

  const number = (macro: string): number => {
    let value = macros.get(macro);
    for (let depth = 0; value !== undefined && macros.has(value) && depth < 8; depth++) {
      value = macros.get(value);
    }
    if (value === undefined || !/^\d+$/.test(value)) {
      throw new NativeError(
        `NvInferVersion.h does not define ${macro} as a number: is it TensorRT 10 or later?`,
      );
    }
    return Number(value);
  };
  const [major, minor, patch] = [
    number("NV_TENSORRT_MAJOR"),
    number("NV_TENSORRT_MINOR"),
    number("NV_TENSORRT_PATCH"),
  ];
  const formula = macros.get("NV_TENSORRT_VERSION_INT") ?? "";
  const weights = [...formula.matchAll(/\*\s*(\d+)L?/g)].map((match) => Number(match[1]));
  if (weights.length !== 3) {
    throw new NativeError(
      "NvInferRuntimeBase.h does not define NV_TENSORRT_VERSION_INT(major, minor, patch)",
    );
  }
  const slotOf = (interfaceName: string, method: string): number => {
    const slot = classes.table(`nvinfer1::${interfaceName}`).indexOf(method);
    if (slot < 0) throw new NativeError(`the headers declare no ${interfaceName}::${method}`);
    return slot;
  };
  return {
    flavour: macros.has("TRT_MAJOR_RTX") ? "rtx" : "enterprise",
    version: `${major}.${minor}`,
    libVersion: major * weights[0]! + minor * weights[1]! + patch * weights[2]!,
    loggerSlot: slotOf("ILogger", "log"),
    progressSlot: slotOf("IProgressMonitor", "phaseStart"),
    interfaces: classes.interfaces(),
  };
}

// Conditional compilation.

/** As a C++17 compiler on Linux sees the headers. */
const PREDEFINED: readonly (readonly [string, string])[] = [
  ["__cplusplus", "201703"],
  ["__GNUC__", "11"],
  ["__linux__", "1"],
  ["NV_INFER_INTERNAL_INCLUDE", "1"],
];

interface PreprocessOptions {
  readonly file: string;
  /** Macros known so far, by name; definitions in the text are added. */
  readonly macros: Map<string, string>;
}

/** The text without comments, directives and the lines that are not compiled; line numbers are kept. */
function preprocess(text: string, options: PreprocessOptions): string {
  const { file, macros } = options;
  const blank = (part: string) => part.replace(/[^\n]+/g, " ");
  const code = text
    .replace(/\\\r?\n/g, " ")
    .replace(
      /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|\/\/[^\n]*|\/\*[\s\S]*?\*\//g,
      (part, literal) => literal === undefined ? blank(part) : part,
    );
  // One entry per open #if: is this branch compiled, was one already, and is the place around it compiled?
  const open: { active: boolean; taken: boolean; readonly around: boolean }[] = [];
  return code.split("\n").map((line, index) => {
    const directive = /^\s*#\s*(\w+)\s*(.*)$/.exec(line);
    const here = open.at(-1);
    const active = here?.active ?? true;
    if (directive === null) return active ? line : "";
    const at = `${file}:${index + 1}`;
    const [, keyword, rest = ""] = directive;
    const test = () => {
      if (keyword === "ifdef" || keyword === "ifndef") {
        return macros.has(rest.trim()) === (keyword === "ifdef");
      }
      return evaluate(rest, { at, macros }) !== 0;
    };
    if (keyword === "if" || keyword === "ifdef" || keyword === "ifndef") {
      const taken = active && test();
      open.push({ active: taken, taken, around: active });
    } else if (keyword === "elif" || keyword === "else" || keyword === "endif") {
      if (here === undefined) throw new NativeError(`${at}: #${keyword} without #if`);
      if (keyword === "endif") {
        open.pop();
      } else {
        here.active = here.around && !here.taken && (keyword === "else" || test());
        here.taken ||= here.active;
      }
    } else if (active && keyword === "define") {
      const [, name = "", body = ""] = /^(\w+)(?:\([^)]*\))?\s*(.*)$/.exec(rest.trim()) ?? [];
      macros.set(name, body.trim());
    } else if (active && keyword === "undef") {
      macros.delete(rest.trim());
    }
    return "";
  }).join("\n");
}

const BINARY: readonly Readonly<Record<string, (a: number, b: number) => number>>[] = [
  { "||": (a, b) => Number(a !== 0 || b !== 0) },
  { "&&": (a, b) => Number(a !== 0 && b !== 0) },
  { "==": (a, b) => Number(a === b), "!=": (a, b) => Number(a !== b) },
  {
    "<": (a, b) => Number(a < b),
    ">": (a, b) => Number(a > b),
    "<=": (a, b) => Number(a <= b),
    ">=": (a, b) => Number(a >= b),
  },
];

/** Value of an `#if` expression; a name that is no macro counts as 0, as in C++. */
function evaluate(
  text: string,
  { at, macros }: { readonly at: string; readonly macros: ReadonlyMap<string, string> },
): number {
  const tokens = text.match(/\w+|[|&=!<>]{2}|\S/g) ?? [];
  let position = 0;
  const fail = (): never => {
    throw new NativeError(`${at}: cannot evaluate the condition "${text.trim()}"`);
  };
  const expect = (token: string) => tokens[position++] === token || fail();
  const unary = (): number => {
    const token = tokens[position++] ?? fail();
    if (token === "!") return Number(unary() === 0);
    if (token === "(") {
      const value = binary(0);
      expect(")");
      return value;
    }
    if (token === "defined") {
      const wrapped = tokens[position] === "(";
      if (wrapped) position++;
      const name = tokens[position++] ?? fail();
      if (wrapped) expect(")");
      return Number(macros.has(name));
    }
    if (/^\d/.test(token)) return Number(token.replace(/[uUlL]+$/, ""));
    if (!/^\w/.test(token) || tokens[position] === "(") return fail();
    const body = macros.get(token);
    return body === undefined || body === token ? 0 : evaluate(body, { at, macros });
  };
  const binary = (level: number): number => {
    const operators = BINARY[level];
    if (operators === undefined) return unary();
    let left = binary(level + 1);
    for (let operator = operators[tokens[position] ?? ""]; operator !== undefined;) {
      position++;
      left = operator(left, binary(level + 1));
      operator = operators[tokens[position] ?? ""];
    }
    return left;
  };
  const value = binary(0);
  return position === tokens.length ? value : fail();
}

// Declarations.

interface Token {
  readonly text: string;
  readonly line: number;
}

interface Method {
  readonly name: string;
  /** Parameter types and constness: what tells an override from an overload. */
  readonly signature: string;
  readonly isVirtual: boolean;
}

interface ClassDeclaration {
  readonly base: string | undefined;
  readonly methods: Method[];
  /** Data members in order; `type` is that of a pointer, or `undefined` for anything whose size is not known. */
  readonly members: { readonly type: string | undefined }[];
}

/** The classes of all headers by qualified name, and the aliases that `using` gives them. */
class Classes {
  readonly #classes = new Map<string, ClassDeclaration>();
  readonly #aliases = new Map<string, string>();
  #file = "";
  #tokens: readonly Token[] = [];
  #position = 0;

  /** Adds what preprocessed `code` declares. */
  read(file: string, code: string, macros: ReadonlyMap<string, string>): void {
    this.#file = file;
    this.#tokens = code.split("\n").flatMap((text, index) =>
      (text.match(/[A-Za-z_]\w*|\d[\w.']*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|::|\S/g) ?? [])
        .map((token) => ({ text: token, line: index + 1 }))
    );
    this.#dropAnnotations(macros);
    this.#position = 0;
    this.#declarations("");
    if (this.#position < this.#tokens.length) throw this.#error("a closing brace without an opening one");
  }

  /** Names in the virtual table of a class in slot order, with `DESTRUCTOR` twice where the destructor is virtual. */
  table(qualified: string): readonly string[] {
    return this.#table(this.#find(qualified, "")).map((entry) => entry.name);
  }

  /** Every class that holds a pointer to an implementation, by its unqualified name. */
  interfaces(): Record<string, InterfaceHeader> {
    const found: Record<string, InterfaceHeader> = {};
    for (const [qualified, declaration] of this.#classes) {
      const own = declaration.members.findLastIndex((member) => /(^|::)apiv::V\w+$/.test(member.type ?? ""));
      if (own < 0) continue;
      const implementation = this.#find(declaration.members[own]!.type!, qualified);
      const table = this.table(implementation);
      if (table.slice(0, FIRST_SLOT).some((name) => name !== DESTRUCTOR)) {
        throw new NativeError(`${implementation}: its first two slots are not the destructor's`);
      }
      const before = [
        ...this.#bases(qualified).slice(1).reverse().flatMap((base) => this.#classes.get(base)!.members),
        ...declaration.members.slice(0, own),
      ];
      // A vtable pointer of 8 bytes, then the members in order of declaration, bases first.
      const offsetBytes = before.every((member) => member.type !== undefined)
        ? 8 * (1 + before.length)
        : undefined;
      found[unqualified(qualified)] = {
        implementation: unqualified(implementation),
        offsetBytes,
        methods: table.slice(FIRST_SLOT),
      };
    }
    return found;
  }

  /** Qualified name of what `name` means inside `scope`, looked up outwards as C++ does. */
  #find(name: string, scope: string): string {
    for (let around: string | undefined = scope; around !== undefined; around = enclosing(around)) {
      const qualified = around === "" ? name : `${around}::${name}`;
      if (this.#classes.has(qualified)) return qualified;
      const alias = this.#aliases.get(qualified);
      if (alias !== undefined && alias !== name) return this.#find(alias, enclosing(qualified)!);
    }
    throw new NativeError(`the headers name ${name}${scope && ` in ${scope}`} but do not declare it`);
  }

  /** The class itself, its first base, that one's first base and so on. */
  #bases(qualified: string): string[] {
    const base = this.#classes.get(qualified)?.base;
    return base === undefined
      ? [qualified]
      : [qualified, ...this.#bases(this.#find(base, enclosing(qualified)!))];
  }

  #table(qualified: string): readonly Method[] {
    const declaration = this.#classes.get(qualified)!;
    const table = declaration.base === undefined
      ? []
      : [...this.#table(this.#find(declaration.base, enclosing(qualified)!))];
    for (const method of declaration.methods) {
      const overrides = table.some((slot) =>
        slot.name === method.name && slot.signature === method.signature
      );
      if (method.isVirtual && !overrides) table.push(method, ...(method.name === DESTRUCTOR ? [method] : []));
    }
    return table;
  }

  /** The token at the position; "" at the end. */
  #peek(): string {
    return this.#tokens[this.#position]?.text ?? "";
  }

  #error(what: string): NativeError {
    const { line } = this.#tokens[Math.min(this.#position, this.#tokens.length - 1)] ?? { line: 1 };
    return new NativeError(`${this.#file}:${line}: ${what}`);
  }

  /** Skips from an opening bracket to behind the one that closes it. */
  #skip(open: string, close: string): void {
    const start = this.#position;
    for (let depth = 0; this.#position < this.#tokens.length;) {
      const token = this.#tokens[this.#position++]!.text;
      depth += Number(token === open) - Number(token === close);
      if (depth === 0) return;
    }
    this.#position = start;
    throw this.#error(`this "${open}" is never closed`);
  }

  /** Removes attributes and the macros that stand for them or for nothing, with their arguments. */
  #dropAnnotations(macros: ReadonlyMap<string, string>): void {
    const kept: Token[] = [];
    for (this.#position = 0; this.#position < this.#tokens.length;) {
      const token = this.#peek();
      if (token === "[" && this.#tokens[this.#position + 1]?.text === "[") {
        this.#skip("[", "]");
      } else if (/^(TRT_[A-Z_]+|__attribute__)$/.test(token) || macros.has(token)) {
        this.#position++;
        if (this.#peek() === "(") this.#skip("(", ")");
      } else {
        kept.push(this.#tokens[this.#position++]!);
      }
    }
    this.#tokens = kept;
  }

  /** Declarations up to the end of the text or of the braces around them; `owner` collects those of a class. */
  #declarations(scope: string, owner?: ClassDeclaration): void {
    while (this.#position < this.#tokens.length && this.#peek() !== "}") {
      switch (this.#peek()) {
        case "namespace":
        case "extern":
          this.#namespace(scope);
          break;
        case "template":
          this.#position++;
          this.#skip("<", ">");
          this.#declaration();
          break;
        case "using":
          this.#using(scope);
          break;
        case "class":
        case "struct":
        case "union":
          if (!this.#class(scope)) this.#declaration(owner);
          break;
        case "public":
        case "protected":
        case "private":
          this.#position += 2;
          break;
        default:
          this.#declaration(owner);
      }
    }
  }

  /** Declarations between braces. */
  #block(scope: string, owner?: ClassDeclaration): void {
    const start = this.#position++;
    this.#declarations(scope, owner);
    if (this.#peek() !== "}") {
      this.#position = start;
      throw this.#error(`the "{" of ${scope} is never closed`);
    }
    this.#position++;
  }

  #namespace(scope: string): void {
    const start = this.#position++;
    let name = "";
    while (/^(\w+|::|".*")$/.test(this.#peek())) name += this.#tokens[this.#position++]!.text;
    if (this.#peek() !== "{") {
      this.#position = start;
      return this.#declaration();
    }
    const isLinkage = this.#tokens[start]!.text === "extern";
    this.#block(isLinkage || name === "" ? scope : join(scope, name));
  }

  #using(scope: string): void {
    const declared = this.#until(new Set([";"]));
    this.#position++;
    const [, name, equals, ...target] = declared;
    if (name === undefined || equals !== "=" || target.some((token) => !/^(\w+|::)$/.test(token))) return;
    this.#aliases.set(join(scope, name), target.join("").replace(/^::/, ""));
  }

  /** A class with its body; false, and nothing consumed, for a declaration without one. */
  #class(scope: string): boolean {
    const start = this.#position;
    const head = this.#until(new Set(["{", ";", "(", "="])).filter((token) => token !== "final");
    if (this.#peek() !== "{") {
      this.#position = start;
      return false;
    }
    const colon = head.indexOf(":");
    const name = head.slice(0, colon < 0 ? undefined : colon).findLast((token) => /^\w+$/.test(token)) ?? "";
    const firstBase = colon < 0 ? [] : head.slice(colon + 1).join(" ").split(",")[0]!.split(" ");
    const base = firstBase.filter((token) => !/^(public|protected|private|virtual|)$/.test(token)).join("");
    const declaration: ClassDeclaration = { base: base === "" ? undefined : base, methods: [], members: [] };
    this.#block(join(scope, name), declaration);
    this.#classes.set(join(scope, name), declaration);
    this.#until(new Set([";"]));
    this.#position++;
    return true;
  }

  /** Tokens from here to one of `ends`, which is not consumed. */
  #until(ends: ReadonlySet<string>): string[] {
    const start = this.#position;
    while (this.#position < this.#tokens.length && !ends.has(this.#peek())) this.#position++;
    return this.#tokens.slice(start, this.#position).map((token) => token.text);
  }

  /** A function, a data member or anything else that ends at its semicolon or behind its body. */
  #declaration(owner?: ClassDeclaration): void {
    const before: string[] = [];
    let parameters: readonly string[] | undefined;
    const after: string[] = [];
    for (;; this.#position++) {
      const token = this.#peek();
      if (token === "") throw this.#error("the declaration does not end");
      if (token === "}") return;
      if (token === ";") break;
      if (token === "(" || token === "[" || token === "{") {
        const from = this.#position;
        this.#skip(token, token === "(" ? ")" : token === "[" ? "]" : "}");
        if (token === "(") {
          parameters ??= this.#tokens.slice(from + 1, this.#position - 1).map((inner) => inner.text);
        } else if (token === "[") {
          before.push("[]");
        } else if (
          token === "{" && (parameters !== undefined || before[0] === "enum" || before.length === 0)
        ) {
          if (this.#peek() === ";") break;
          return this.#record(owner, { before, parameters, after });
        }
        this.#position--;
      } else {
        (parameters === undefined ? before : after).push(token);
      }
    }
    this.#position++;
    this.#record(owner, { before, parameters, after });
  }

  #record(
    owner: ClassDeclaration | undefined,
    declared: {
      readonly before: readonly string[];
      readonly parameters: readonly string[] | undefined;
      readonly after: readonly string[];
    },
  ): void {
    const { before, parameters, after } = declared;
    const [first, name] = [before[0] ?? "", before.at(-1) ?? ""];
    if (owner === undefined || /^(|friend|enum|typedef|static|static_assert)$/.test(first)) return;
    if (parameters !== undefined && parameters[0] !== "*") {
      owner.methods.push({
        name: before.at(-2) === "~" ? DESTRUCTOR : before.includes("operator") ? "operator" : name,
        signature: `${parameterTypes(parameters)}${after.includes("const") ? " const" : ""}`,
        isVirtual: before.includes("virtual") || after.includes("override") || after.includes("final"),
      });
    } else if (!/^(class|struct|union) \w+$/.test(before.join(" "))) {
      const end = before.indexOf("=");
      const type = parameters ?? (end < 0 ? before : before.slice(0, end)).slice(0, -1);
      const isPointer = parameters !== undefined || type.at(-1) === "*";
      owner.members.push({ type: isPointer ? type.slice(0, -1).join("") : undefined });
    }
  }
}

/** Types of a parameter list without names and default values. */
function parameterTypes(tokens: readonly string[]): string {
  const parameters: string[][] = [[]];
  let depth = 0;
  for (const token of tokens) {
    depth += Number(/^[(<[{]$/.test(token)) - Number(/^[)>\]}]$/.test(token));
    if (token === "," && depth === 0) parameters.push([]);
    else parameters.at(-1)!.push(token);
  }
  return parameters.map((parameter) => {
    const end = parameter.indexOf("=");
    const words = end < 0 ? parameter : parameter.slice(0, end);
    const [last = "", previous = ""] = [words.at(-1), words.at(-2)];
    const isName = /^[A-Za-z_]\w*$/.test(last) && /^(\w+|[*&>])$/.test(previous) &&
      !/^(const|int|char|short|long|unsigned|signed|float|double|bool)$/.test(last) &&
      !(previous === "const" && words.length === 2);
    return (isName ? words.slice(0, -1) : words).join(" ");
  }).join(", ");
}

function join(scope: string, name: string): string {
  return scope === "" ? name : `${scope}::${name}`;
}

function enclosing(qualified: string): string | undefined {
  if (qualified === "") return undefined;
  const end = qualified.lastIndexOf("::");
  return end < 0 ? "" : qualified.slice(0, end);
}

function unqualified(name: string): string {
  return name.slice(name.lastIndexOf(":") + 1);
}
