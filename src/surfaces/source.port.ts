/**
 * The repository that releases are made from. Reads only objects by hash: no hooks, filters, submodules or
 * shell, and never the operator's work tree, so that an edited file can't slip into a release.
 */
export interface Source {
  /** Absolute path of the work tree. */
  readonly root: string;
  /** Full hash of a ref, tag or abbreviated hash; throws `commit-gone`. */
  resolve(ref: string): Promise<string>;
  /** True when the commit and its tree are there. */
  has(commit: string): Promise<boolean>;
  /** Content of a file at a commit; null when it isn't there. `path` is relative to the root, with `/`. */
  read(commit: string, path: string): Promise<string | null>;
  /** File names (no folders) directly in a folder at a commit, sorted; empty when there is none. */
  list(commit: string, folder: string): Promise<readonly string[]>;
  /** Hash of the tree or blob at a path: equal means unchanged. Null when it isn't there. */
  objectAt(commit: string, path: string): Promise<string | null>;
  /** Writes the whole tree of a commit into `folder`, which must not exist. */
  checkout(commit: string, folder: string, signal: AbortSignal): Promise<void>;
  /** True when `ancestor` is `commit` itself or one of its ancestors. */
  contains(commit: string, ancestor: string): Promise<boolean>;
  /** True where the history is cut off somewhere: an ancestor that isn't found may be one all the same. */
  isShallow(): Promise<boolean>;
  subject(commit: string): Promise<string>;
  /**
   * True when the message of a commit that `commit` has and `since` has not ends with a line `KEY: …`. Where
   * `since` is not there, only `commit` itself is looked at.
   */
  hasTrailer(commit: string, since: string, key: string): Promise<boolean>;
}
