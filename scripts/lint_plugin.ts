import { fileURLToPath } from "node:url";
import { importFault, isTest, layerOf, mayTouchProcess } from "./layer_rules.ts";

type Node = Deno.lint.Node;
type Context = Deno.lint.RuleContext;

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** The members of `Deno` that only entry points may use. */
const PROCESS_MEMBERS: ReadonlySet<string> = new Set(["args", "env", "exit", "exitCode"]);

/** Path from the repository's root with forward slashes, whatever the platform. */
function fileOf(context: Context): string {
  const name = context.filename;
  return (name.startsWith(ROOT) ? name.slice(ROOT.length) : name).replaceAll("\\", "/").replace(/^\.?\//, "");
}

function reportImport(context: Context, node: Node, specifier: unknown): void {
  if (typeof specifier !== "string") return;
  const message = importFault(fileOf(context), specifier);
  if (message !== undefined) context.report({ node, message, hint: "See docs/architecture.md" });
}

/** The text of a string literal, also inside a type. */
function literalText(node: Node | null | undefined): string | undefined {
  if (node?.type === "TSLiteralType") return literalText(node.literal);
  return node?.type === "Literal" && typeof node.value === "string" ? node.value : undefined;
}

/** `new URL("./x.ts", import.meta.url)`, which is how a worker is named: an import in all but syntax. */
function isModuleUrl(node: Deno.lint.NewExpression): boolean {
  return node.callee.type === "Identifier" && node.callee.name === "URL" &&
    node.arguments[1]?.type === "MemberExpression" && node.arguments[1].object.type === "MetaProperty";
}

/** The rule with the arrows of the design. */
const layers: Deno.lint.Rule = {
  create(context) {
    return {
      ImportDeclaration: (node) => reportImport(context, node, node.source.value),
      ExportAllDeclaration: (node) => reportImport(context, node, node.source.value),
      ExportNamedDeclaration: (node) => reportImport(context, node, node.source?.value),
      ImportExpression: (node) => reportImport(context, node, literalText(node.source)),
      TSImportType: (node) => reportImport(context, node, literalText(node.argument)),
      NewExpression(node) {
        const specifier = isModuleUrl(node) ? literalText(node.arguments[0]) : undefined;
        if (specifier?.endsWith(".ts")) reportImport(context, node, specifier);
      },
    };
  },
};

/** Arguments, environment, exit and console belong to the entry points. */
const processGlobals: Deno.lint.Rule = {
  create(context) {
    if (mayTouchProcess(fileOf(context))) return {};
    return {
      MemberExpression(node) {
        if (node.object.type !== "Identifier") return;
        const { name } = node.object;
        if (name === "console" || name === "process") {
          context.report({ node, message: `Cannot use ${name} outside cli/ and scripts/`, hint: "Take a Logger" });
        } else if (name === "Deno" && PROCESS_MEMBERS.has(memberName(node))) {
          const what = `Deno.${memberName(node)}`;
          context.report({
            node,
            message: `Cannot use ${what} outside cli/ and scripts/`,
            hint: "Take it as an option",
          });
        }
      },
    };
  },
};

function memberName(node: Deno.lint.MemberExpression): string {
  if (!node.computed && node.property.type === "Identifier") return node.property.name;
  return literalText(node.property) ?? "";
}

/** protocol/ is pure: bytes in, values out. */
const pureProtocol: Deno.lint.Rule = {
  create(context) {
    const file = fileOf(context);
    if (layerOf(file) !== "protocol" || isTest(file)) return {};
    return {
      MemberExpression(node) {
        if (node.object.type !== "Identifier" || node.object.name !== "Deno") return;
        context.report({ node, message: "Cannot use Deno in protocol/: it is pure", hint: "Move the I/O to net/" });
      },
    };
  },
};

/** `function` at the top level, arrows only as callbacks. */
const noTopLevelArrow: Deno.lint.Rule = {
  create(context) {
    return {
      VariableDeclarator(node) {
        const declaration = node.parent;
        const outer = declaration.parent;
        if (outer.type !== "Program" && outer.type !== "ExportNamedDeclaration") return;
        if (node.init?.type !== "ArrowFunctionExpression") return;
        context.report({
          node,
          message: "Cannot use a top-level arrow function",
          hint: "Write a function declaration",
        });
      },
    };
  },
};

/** `#name`, not `private name`: only the former is private when the program runs. */
const noPrivateKeyword: Deno.lint.Rule = {
  create(context) {
    function check(node: Node): void {
      // By its text: the tree has no accessibility on parameter properties.
      if (!/^(?:(?:override|readonly|static)\s+)*private\b/.test(context.sourceCode.getText(node))) return;
      context.report({ node, message: "Cannot use the private keyword", hint: "Use a #name" });
    }
    return { PropertyDefinition: check, MethodDefinition: check, TSParameterProperty: check };
  },
};

/** Only types that can be erased. */
const noEnumOrNamespace: Deno.lint.Rule = {
  create(context) {
    return {
      TSEnumDeclaration(node) {
        context.report({ node, message: "Cannot use an enum", hint: "Use a union of string literals" });
      },
      TSModuleDeclaration(node) {
        if (node.kind === "global") return;
        context.report({ node, message: "Cannot use a namespace", hint: "Use a module" });
      },
    };
  },
};

/** One name for one thing, whoever imports it. */
const noDefaultExport: Deno.lint.Rule = {
  create(context) {
    // The linter loads a plugin by its default export.
    if (fileOf(context) === "scripts/lint_plugin.ts") return {};
    return {
      ExportDefaultDeclaration(node) {
        context.report({ node, message: "Cannot use a default export", hint: "Export by name" });
      },
    };
  },
};

/** A swallowed error needs a sentence that says why it is safe. */
const noSilentCatch: Deno.lint.Rule = {
  create(context) {
    return {
      CatchClause(node) {
        if (node.body.body.length > 0 || /\/[/*]/.test(context.sourceCode.getText(node.body))) return;
        context.report({ node, message: "Cannot leave a catch empty", hint: "Say in a comment why it is safe" });
      },
      CallExpression(node) {
        if (node.callee.type !== "MemberExpression" || memberName(node.callee) !== "catch") return;
        const [handler] = node.arguments;
        if (handler?.type !== "ArrowFunctionExpression" || handler.body?.type !== "BlockStatement") return;
        if (handler.body.body.length > 0 || hasCommentNear(context, node)) return;
        context.report({ node, message: "Cannot leave a catch empty", hint: "Say in a comment why it is safe" });
      },
    };
  },
};

/** Whether a comment stands inside the node, on one of its lines, or on the line above. */
function hasCommentNear(context: Context, node: Node): boolean {
  const lines = context.sourceCode.text.split("\n");
  const first = lineAt(context, node.range[0]);
  const own = lines.slice(first, lineAt(context, node.range[1]) + 1);
  return own.some((line) => /\/\/|\/\*/.test(line)) || /^\s*(\/\/|\/?\*)/.test(lines[first - 1] ?? "");
}

function lineAt(context: Context, offset: number): number {
  return context.sourceCode.text.slice(0, offset).split("\n").length - 1;
}

/** One line says what an exported function or class means; types and constants may speak for themselves. */
const docComment: Deno.lint.Rule = {
  create(context) {
    if (isTest(fileOf(context))) return {};
    return {
      ExportNamedDeclaration(node) {
        const { declaration } = node;
        if (declaration?.type !== "FunctionDeclaration" && declaration?.type !== "ClassDeclaration") return;
        const before = context.sourceCode.text.slice(0, node.range[0]).trimEnd();
        if (/\*\/$/.test(before) || isOverload(node, declaration.id?.name)) return;
        context.report({ node, message: "Cannot export it without a docstring", hint: "Add one line: /** ... */" });
      },
    };
  },
};

/** Whether the statement before is a signature of the same function: the docstring stands there. */
function isOverload(node: Deno.lint.ExportNamedDeclaration, name: string | undefined): boolean {
  if (node.parent.type !== "Program") return false;
  const before = node.parent.body[node.parent.body.indexOf(node) - 1];
  return before?.type === "ExportNamedDeclaration" && before.declaration?.type === "TSDeclareFunction" &&
    before.declaration.id?.name === name;
}

/** Files are named in snake_case after their main export. */
const fileName: Deno.lint.Rule = {
  create(context) {
    return {
      Program(node) {
        const name = fileOf(context).split("/").at(-1) ?? "";
        if (/^_?[a-z0-9]+(_[a-z0-9]+)*\.tsx?$/.test(name)) return;
        context.report({
          range: [node.range[0], node.range[0]],
          message: `Cannot name a file "${name}"`,
          hint: "Use snake_case",
        });
      },
    };
  },
};

/** The project's own lint rules, `spokes/...`: the folders' arrows and the habits a machine can check. */
const plugin: Deno.lint.Plugin = {
  name: "spokes",
  rules: {
    "doc-comment": docComment,
    "file-name": fileName,
    "layers": layers,
    "no-default-export": noDefaultExport,
    "no-enum-or-namespace": noEnumOrNamespace,
    "no-private-keyword": noPrivateKeyword,
    "no-silent-catch": noSilentCatch,
    "no-top-level-arrow": noTopLevelArrow,
    "process-globals": processGlobals,
    "pure-protocol": pureProtocol,
  },
};

export default plugin;
