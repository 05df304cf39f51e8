import { type Document, isNode, isSeq } from "yaml";

/** A configuration with its comments. */
export type Tree = Document.Parsed;

/** Where a value is. */
export type TreePath = readonly (string | number)[];

/** Adds a value at the end of a list, which need not be there. */
export function append(tree: Tree, path: TreePath, value: unknown): void {
  const list: unknown = tree.getIn(path, true);
  if (isSeq(list) && list.items.length > 0) tree.addIn(path, tree.createNode(value));
  else tree.setIn(path, tree.createNode([value]));
}

/** Sets or removes a value; what stays the same stays as it is written. */
export function put(tree: Tree, path: TreePath, value: unknown): void {
  if (value === undefined) return remove(tree, path);
  const present: unknown = tree.getIn(path, true);
  if (isNode(present) && JSON.stringify(present.toJS(tree)) === JSON.stringify(value)) return;
  tree.setIn(path, typeof value === "object" ? tree.createNode(value) : value);
}

/** Removes a value, if it is there. (The library throws for a path whose parent is not.) */
export function remove(tree: Tree, path: TreePath): void {
  if (tree.hasIn(path)) tree.deleteIn(path);
}

/** An entry as it is written. */
export function withoutUndefined(entry: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== undefined));
}
