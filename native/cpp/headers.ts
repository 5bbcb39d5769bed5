/**
 * Which virtual method of a C++ class sits in which slot, read from its headers. It follows the part of C++
 * that interface headers are written in (namespaces, versioned interfaces behind `using`, single inheritance,
 * overrides, overloads) and the Itanium C++ ABI of Linux: a first virtual destructor takes two slots, an
 * override keeps its base's slot, everything else takes the next one in the order of declaration. Left out:
 * macros that expand to declarations, virtual inheritance, the second and later bases, and the Microsoft ABI.
 * Conditions are `preprocessor.ts`, declarations `parser.ts`.
 */
import { type ClassDeclaration, DESTRUCTOR, type Member, type Method, parseDeclarations } from "./parser.ts";
import { NativeError } from "../error.ts";

/**
 * The classes of all headers by qualified name, and the aliases that `using` gives them.
 *
 * @example
 * ```ts
 * const classes = new CppClasses({ annotation: /^X_/ });
 * const code = "class Shape { public: virtual ~Shape(); X_NODISCARD virtual double area() = 0; };";
 * classes.read("shape.h", code, new Map());
 * console.assert(classes.table("Shape").join() === "~,~,area");
 * ```
 */
export class CppClasses {
  readonly #classes = new Map<string, ClassDeclaration>();
  readonly #aliases = new Map<string, string>();
  readonly #annotation: RegExp;

  /** `annotation`: names of macros that stand for attributes, wherever they are defined. */
  constructor({ annotation }: { readonly annotation: RegExp }) {
    this.#annotation = annotation;
  }

  /**
   * Adds what preprocessed `code` declares; whatever is in `macros` counts as an annotation, too.
   *
   * @throws NativeError with file and line where brackets do not match or a declaration does not end.
   */
  read(file: string, code: string, macros: ReadonlyMap<string, string>): void {
    parseDeclarations(code, {
      file,
      isAnnotation: (word) => word === "__attribute__" || this.#annotation.test(word) || macros.has(word),
      into: { classes: this.#classes, aliases: this.#aliases },
    });
  }

  /** Names in a class's virtual table in slot order, with `DESTRUCTOR` twice if the destructor is virtual. */
  table(qualified: string): readonly string[] {
    return this.#table(this.find(qualified)).map((entry) => entry.name);
  }

  /** Qualified names of all classes, in the order in which their declarations end. */
  names(): readonly string[] {
    return [...this.#classes.keys()];
  }

  /** A class's own data members, in order of declaration. */
  members(qualified: string): readonly Member[] {
    return this.#classes.get(this.find(qualified))!.members;
  }

  /** The data members that lie before its own: those of its first bases, the outermost base first. */
  inheritedMembers(qualified: string): readonly Member[] {
    const bases = this.#lineage(this.find(qualified)).slice(1).reverse();
    return bases.flatMap((base) => this.#classes.get(base)!.members);
  }

  /**
   * Qualified name of the class that `name` means inside `scope`, looked up outwards as C++ does.
   *
   * @throws NativeError if no header declares it.
   */
  find(name: string, scope = ""): string {
    for (let around: string | undefined = scope; around !== undefined; around = enclosing(around)) {
      const qualified = around === "" ? name : `${around}::${name}`;
      if (this.#classes.has(qualified)) return qualified;
      const alias = this.#aliases.get(qualified);
      if (alias !== undefined && alias !== name) return this.find(alias, enclosing(qualified)!);
    }
    throw new NativeError(`the headers name ${name}${scope && ` in ${scope}`} but do not declare it`);
  }

  /** The class itself, its first base, that one's first base and so on. */
  #lineage(qualified: string): string[] {
    const base = this.#classes.get(qualified)?.base;
    return base === undefined
      ? [qualified]
      : [qualified, ...this.#lineage(this.find(base, enclosing(qualified)!))];
  }

  #table(qualified: string): readonly Method[] {
    const declaration = this.#classes.get(qualified)!;
    const table = declaration.base === undefined
      ? []
      : [...this.#table(this.find(declaration.base, enclosing(qualified)!))];
    for (const method of declaration.methods) {
      const overrides = table.some((slot) =>
        slot.name === method.name && slot.signature === method.signature
      );
      if (method.isVirtual && !overrides) table.push(method, ...(method.name === DESTRUCTOR ? [method] : []));
    }
    return table;
  }
}

function enclosing(qualified: string): string | undefined {
  if (qualified === "") return undefined;
  const end = qualified.lastIndexOf("::");
  return end < 0 ? "" : qualified.slice(0, end);
}

/** The last of a qualified name's words. */
export function unqualified(name: string): string {
  return name.slice(name.lastIndexOf(":") + 1);
}
