/** What one annotator says about one face: votes, strengths, attributes; every step can be taken back. */

export const UNKNOWN = "unknown";
export const UNSURE = "unsure";
export const STRENGTHS = [0, 1, 2, 3, 4, 5];

/** How a choice is written on the page. */
export function shown(choice) {
  return choice === UNKNOWN || choice === UNSURE ? "can't tell" : String(choice).replaceAll("_", " ");
}

export class Answer {
  constructor(task) {
    this.task = task;
    this.choices = [...task.classes, UNKNOWN];
    this.state = { votes: {}, last: null, strengths: {}, attributes: {} };
    this.steps = [];
  }

  /** The answer of a label that was submitted, or of a draft; the first step back clears it. */
  static from(task, { votes, unknown, intensity, attributes, last }) {
    const answer = new Answer(task);
    const given = Object.entries({ ...votes, [UNKNOWN]: unknown }).filter(([, n]) => n > 0);
    const chosen = Object.entries(attributes ?? {}).filter(([, group]) => group !== null);
    answer.state = {
      votes: Object.fromEntries(given),
      last: last ?? given[0]?.[0] ?? null,
      strengths: { ...intensity },
      attributes: Object.fromEntries(chosen),
    };
    // One vote moves to where it is wanted; ten have to be taken back first.
    if (given.length && task.votes_per_face > 1) answer.steps.push(new Answer(task).state);
    return answer;
  }

  get left() {
    return this.task.votes_per_face - this.choices.reduce((sum, choice) => sum + this.votes(choice), 0);
  }

  /** Expressions with a vote, in the task's order. */
  get chosen() {
    return this.choices.filter((choice) => this.votes(choice) > 0);
  }

  votes(choice) {
    return this.state.votes[choice] ?? 0;
  }

  change(parts) {
    this.steps.push(this.state);
    this.state = { ...this.state, ...parts };
  }

  setVotes(choice, n) {
    const votes = { ...this.state.votes, [choice]: n };
    this.change({ votes, last: choice });
  }

  /** One vote for a choice. With a single vote a face, the vote moves there. False: none was left. */
  give(choice) {
    if (this.task.votes_per_face === 1) this.change({ votes: { [choice]: 1 }, last: choice });
    else if (this.left === 0) return false;
    else this.setVotes(choice, this.votes(choice) + 1);
    return true;
  }

  giveRest(choice) {
    if (this.left === 0) return false;
    this.setVotes(choice, this.votes(choice) + this.left);
    return true;
  }

  take(choice) {
    if (this.votes(choice) === 0) return false;
    this.setVotes(choice, this.votes(choice) - 1);
    if (this.votes(choice) === 0) this.state.last = this.chosen.at(-1) ?? null;
    return true;
  }

  setStrength(name, strength) {
    this.change({ strengths: { ...this.state.strengths, [name]: strength } });
  }

  setAttribute(name, group) {
    this.change({ attributes: { ...this.state.attributes, [name]: group } });
  }

  /** Take the last step back. False: there was none. */
  back() {
    if (!this.steps.length) return false;
    this.state = this.steps.pop();
    return true;
  }

  /** Everything asked after the votes, in order: its key, the values it can take, what was answered. */
  get questions() {
    const named = this.task.intensity ? this.chosen.filter((choice) => choice !== UNKNOWN) : [];
    const strengths = named.map((name) => ({
      key: `strength of ${shown(name)}`,
      options: STRENGTHS,
      value: this.state.strengths[name],
      digit: (strength) => String(strength),
      choose: (strength) => this.setStrength(name, strength),
    }));
    const attributes = this.task.attributes.map(({ name, label, groups }) => ({
      key: label,
      options: [...groups, UNSURE],
      value: this.state.attributes[name],
      digit: (group) => (group === UNSURE ? "0" : String(groups.indexOf(group) + 1)),
      choose: (group) => this.setAttribute(name, group),
    }));
    return [...strengths, ...attributes];
  }

  get open() {
    return this.questions.filter(({ value }) => value === undefined);
  }

  /** What is due now: to "choose", to give the "rest" (and "finish" with it), to answer what is "open", to "save". */
  get due() {
    if (!this.chosen.length) return "choose";
    if (this.left > 0) return this.chosen.length === 1 && !this.questions.length ? "finish" : "rest";
    return this.open.length ? "open" : "save";
  }

  /** In the words of the confirmation: "happiness 8, surprise 2". */
  get words() {
    const many = this.task.votes_per_face > 1;
    return this.chosen.map((choice) => (many ? `${shown(choice)} ${this.votes(choice)}` : shown(choice))).join(", ");
  }

  /** The votes, strengths and attributes as the server takes them. */
  get body() {
    const named = this.task.classes.filter((choice) => this.votes(choice) > 0);
    const strengths = named.map((name) => [name, this.state.strengths[name]]).filter(([, s]) => s !== undefined);
    return {
      votes: Object.fromEntries(named.map((name) => [name, this.votes(name)])),
      unknown: this.votes(UNKNOWN),
      not_a_face: false,
      intensity: this.task.intensity ? Object.fromEntries(strengths) : null,
      attributes: Object.fromEntries(this.task.attributes.map(({ name }) => [name, this.state.attributes[name] ?? null])),
    };
  }
}
