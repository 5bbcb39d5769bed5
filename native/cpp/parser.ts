/**
 * The declarations of a C++ header without comments and conditions: classes with bases, methods and data
 * members, and what `using` names. It promises that everything else (functions, templates, enums, linkage
 * blocks, bodies) is passed over as a whole, and that brackets which do not match are an error with file and
 * line. What the declarations mean is `headers.ts`.
 */
import { NativeError } from "../error.ts";

/** The entry of a destructor among methods. */
export const DESTRUCTOR = "~";

/** A data member. */
export interface Member {
  /** What it points to ("*" to a function), or `undefined` for anything that is no pointer. */
  readonly type: string | undefined;
}

/** A member function. */
export interface Method {
  readonly name: string;
  /** Parameter types and constness: what tells an override from an overload. */
  readonly signature: string;
  readonly isVirtual: boolean;
}

/** A class with a body. */
export interface ClassDeclaration {
  /** Its first base, as it is written. */
  readonly base: string | undefined;
  readonly methods: readonly Method[];
  /** Data members in order. */
  readonly members: readonly Member[];
}

/** What headers declare, by qualified name. */
export interface Declarations {
  readonly classes: Map<string, ClassDeclaration>;
  /** What `using name = target;` names, as it is written. */
  readonly aliases: Map<string, string>;
}

export interface ParseOptions {
  /** The header's name, for errors. */
  readonly file: string;
  /** Whether a word is a macro for an attribute or for nothing; it is dropped with its arguments. */
  readonly isAnnotation: (word: string) => boolean;
  /** Where the declarations go. */
  readonly into: Declarations;
}

/**
 * Adds what preprocessed `code` declares to `into`.
 *
 * @throws NativeError with file and line where brackets do not match or a declaration does not end.
 */
export function parseDeclarations(code: string, options: ParseOptions): void {
  new Parser(code, options).run();
}

interface Token {
  readonly text: string;
  readonly line: number;
}

interface OpenClass extends ClassDeclaration {
  readonly methods: Method[];
  readonly members: Member[];
}

class Parser {
  readonly #file: string;
  readonly #isAnnotation: (word: string) => boolean;
  readonly #found: Declarations;
  #tokens: readonly Token[];
  #position = 0;

  constructor(code: string, { file, isAnnotation, into }: ParseOptions) {
    this.#file = file;
    this.#isAnnotation = isAnnotation;
    this.#found = into;
    this.#tokens = code.split("\n").flatMap((text, index) =>
      (text.match(/[A-Za-z_]\w*|\d[\w.']*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|::|\S/g) ?? [])
        .map((token) => ({ text: token, line: index + 1 }))
    );
  }

  run(): void {
    this.#dropAnnotations();
    this.#position = 0;
    this.#declarations("");
    if (this.#position < this.#tokens.length) throw this.#error("a closing brace without an opening one");
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
  #dropAnnotations(): void {
    const kept: Token[] = [];
    for (this.#position = 0; this.#position < this.#tokens.length;) {
      const token = this.#peek();
      if (token === "[" && this.#tokens[this.#position + 1]?.text === "[") {
        this.#skip("[", "]");
      } else if (token === "__attribute__" || this.#isAnnotation(token)) {
        this.#position++;
        if (this.#peek() === "(") this.#skip("(", ")");
      } else {
        kept.push(this.#tokens[this.#position++]!);
      }
    }
    this.#tokens = kept;
  }

  /** Declarations up to the end of the text or of its braces; `owner` collects those of a class. */
  #declarations(scope: string, owner?: OpenClass): void {
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
  #block(scope: string, owner?: OpenClass): void {
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
    this.#found.aliases.set(join(scope, name), target.join("").replace(/^::/, ""));
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
    const declaration: OpenClass = { base: base === "" ? undefined : base, methods: [], members: [] };
    this.#block(join(scope, name), declaration);
    this.#found.classes.set(join(scope, name), declaration);
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
  #declaration(owner?: OpenClass): void {
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
    owner: OpenClass | undefined,
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
