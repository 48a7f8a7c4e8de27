// What the gateway sends holds words of people elsewhere: names, notes, topics. As
// text they can do no harm but one: signs that turn the direction of writing, or
// that nobody sees, make what stands beside them read as something else.

const unruly = /[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

export function readJSON(text: string): unknown {
  return JSON.parse(text.replace(unruly, ""));
}
