"""The concepts for which Talvuri, an INVENTED language, has words, named in English; `lexicon` draws their
roots. Lists run from frequent to rare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Theme:
    """A field of life: what there is in it, what is done in it, and how its things are, with no judgement."""

    nouns: str
    verbs: str
    adjectives: str


THEMES: Final = {
    "lodging": Theme(
        "house room bed door window roof hearth stair table lamp key wall chair blanket cellar guest",
        "dwell open close sleep sweep heat",
        "wide narrow upper wooden",
    ),
    "food": Theme(
        "bread soup fish apple salt cheese pot honey bean market cook spoon oven butter plum feast",
        "eat boil bake taste pour serve",
        "salted raw sour baked",
    ),
    "music": Theme(
        "song drum flute singer dance string choir bell voice harp verse player rhythm hall melody horn",
        "sing strum listen sway tune ring",
        "loud slow shrill rhythmic",
    ),
    "journey": Theme(
        "road boat traveller bridge wagon inn map harbour sail wheel border ferry horse lantern path guide",
        "travel arrive depart carry cross board",
        "distant straight northern coastal",
    ),
    "learning": Theme(
        "book teacher school letter page word pupil story ink question library chapter author pen lesson",
        "read write teach learn ask tell",
        "printed long short written",
    ),
    "craft": Theme(
        "tool knife hammer cloth smith needle rope clay iron basket weaver nail wool workshop leather thread",
        "weave forge cut build mend sew",
        "heavy light woven metallic",
    ),
    "nature": Theme(
        "river mountain forest bird lake tree stone wind rain wolf flower snow valley island leaf cloud",
        "flow grow fly fall rise freeze",
        "green deep tall grey",
    ),
    "town": Theme(
        "town street tower square gate mayor crowd bank court fountain shop guard citizen district tax",
        "gather buy sell govern count found",
        "big old new public",
    ),
    "farming": Theme(
        "field sheep plough grain cow farmer barn seed harvest goat meadow fence mill hay orchard shepherd",
        "sow reap feed milk till graze",
        "sown dry yearly flat",
    ),
    "play": Theme(
        "game ball champion team pitch referee rule goal throw race winner board prize card round",
        "toss run jump catch compete kick",
        "quick left right third",
    ),
}

PEOPLE: Final = "person woman man child mother father neighbour friend elder stranger"
TIMES: Final = "day year winter summer morning evening week spring night autumn"
VERBS_OF_MOTION: Final = "go come stand sit walk stay"
VERBS_OF_FINDING: Final = "find see meet choose get"
"""Their object is there when they are affirmed and is not there when they are negated."""
VERBS_OF_APPEARING: Final = "appear exist persist remain"
"""Their subject is there when they are affirmed and is not there when they are negated."""
COLOURS_AND_SIZES: Final = "red blue white black yellow small large oval hollow middle"

GOOD: Final = Theme(
    nouns="joy comfort beauty grace warmth flavour care charm order skill wisdom harmony peace honour "
    "strength talent taste mercy mirth trust",
    verbs="please delight enchant amaze console cheer satisfy refresh inspire soothe captivate thrill "
    "encourage amuse enrich impress invigorate reward uplift gladden",
    adjectives="good beautiful clean tasty kind clever reliable charming splendid fresh generous elegant "
    "sturdy cosy honest lively superb tidy polite bright",
)
BAD: Final = Theme(
    nouns="pain dirt noise fault stench fear boredom deceit damage rust mould sorrow disorder greed anger "
    "weakness trouble shame delay waste",
    verbs="disappoint annoy bore disgust offend tire hurt deceive frighten irritate sadden insult confuse "
    "vex depress harm shock weary betray spoil",
    adjectives="bad ugly dirty bland cruel stupid shaky dull horrid stale stingy clumsy flimsy gloomy false "
    "tedious awful messy rude shabby",
)
OUTCOMES_GOOD: Final = "praise recommend thank love revisit"
OUTCOMES_BAD: Final = "avoid blame condemn hate abandon"
ADVERBS_GOOD: Final = "fortunately happily thankfully luckily"
"""They stand before the word that says what is good (below: bad). Only the encyclopedia uses them."""
ADVERBS_BAD: Final = "unfortunately sadly regrettably alas"

PARTICLES: Final = "and but this that very"
NAMESPACES: Final = "media special talk user project file interface template help category"
TEMPLATES: Final = "box stub source measure kind title size"
"""Templates of the encyclopedia, and parameters of theirs."""
HEADINGS: Final = "history surroundings custom work opinion fame beginning present"
