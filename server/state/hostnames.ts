import { randomInt } from "node:crypto";

const ADJECTIVES = (
  "amber ancient autumn azure bold brave breezy bright brisk broad bronze calm cedar charming cheerful clear clever coastal " +
  "copper coral cosmic cozy crimson crisp crystal curious dapper dawn deep distant dreamy eager early earnest easy emerald " +
  "fair fancy fearless fern fine fleet floral fluffy fond fresh friendly frosty gentle gilded glad gleaming golden graceful " +
  "grand green happy hazel hearty hidden high honest humble indigo ivory jade jolly joyful keen kind lively lofty lucky lunar " +
  "maple marble mellow merry mighty misty modest noble olive open orange patient peaceful pearl placid playful polite proud " +
  "quick quiet rapid ruby rustic scarlet serene shiny silent silver simple sleek small smooth snowy soft solar spry steady " +
  "still sunny swift tidy tranquil true upbeat velvet vivid warm wild winter wise witty young zesty"
).split(" ");

const NOUNS = (
  "acorn alder apple arbor aspen badger bay beacon bear beech birch bird bison blossom bluff boat branch breeze bridge brook " +
  "canyon castle cedar cherry cliff cloud clover comet coral cove crane creek daisy dawn deer delta dolphin dove dune eagle " +
  "echo ember falcon feather fern field finch fire fjord flower forest fox garden glade glacier grove gull harbor hawk heron " +
  "hill hollow island ivy jasmine juniper kite lagoon lake lantern lark leaf lemon lily lotus lynx maple marsh meadow mesa " +
  "moon moss mountain oak oasis ocean orchard orchid otter owl panda path peak pebble pine planet plum pond poplar prairie " +
  "quail rabbit rain raven reef ridge river robin rose sail sea seal shell sky snow sparrow spring spruce star stone stork " +
  "stream summit sun swan thistle tide trail tree tulip valley violet wave willow wind wren"
).split(" ");

/** A random label `adjective-noun-12345`, 1.5 billion of them: two tunnels rarely meet, and none is guessed from another. */
export function generateHostLabel(): string {
  return `${pick(ADJECTIVES)}-${pick(NOUNS)}-${randomInt(10_000, 100_000)}`;
}

function pick(words: readonly string[]): string {
  return words[randomInt(words.length)]!;
}
