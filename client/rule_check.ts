import type { CodedError } from "../protocol/errors.ts";

/** Something beside a rule that must be in order before the rule may be open: files of a certificate, a folder. */
export interface RuleCheck {
  /** Why the rule must stay closed, since the last look. */
  readonly fault: CodedError | undefined;
  /** What is amiss although the rule may be open, since the last look. */
  readonly warning?: CodedError | undefined;
  /** Looks again. Never rejects. */
  look(): Promise<void>;
}
