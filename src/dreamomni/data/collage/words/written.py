"""What text samples write: single words, and short phrases as they stand on signs."""

_PLAIN = """
hello hi yes no stop go open closed sale free new best love joy peace hope dream sun sky sea rain snow wind
fire ice rock sand gold north south east west up down left right home park zoo cafe shop bank book tea milk
cake fun play game music dance art film news road map key king queen jazz blue green red day night wow super
magic happy lucky smile thanks please welcome party summer winter spring autumn monday friday sunday
"""

_MORE = """
today tomorrow forever always never enter exit push pull quiet danger warning caution slow fast ready start
finish winner coffee bakery pizza bread honey lemon garden forest river ocean island mountain harbor bridge
tower castle village city station airport museum library school office hotel kitchen studio market travel
holiday camping surfing cycling running yoga piano guitar violin drums rocket planet galaxy comet robot
dragon wizard pirate tiger falcon panda rabbit breathe believe create explore imagine inspire discover
wonder balance courage energy focus freedom future growth harmony kindness nature simple strong brave bold
wild calm fresh crisp sweet salty spicy organic vintage modern classic original limited special deluxe
premium express digital classic tickets toys flowers books shoes gifts
"""

WRITTEN_WORDS: tuple[str, ...] = tuple(dict.fromkeys(_PLAIN.split()))
"""Words of the first recipes; the order matters to them."""

MORE_WORDS: tuple[str, ...] = tuple(dict.fromkeys(_MORE.split()))

PHRASES: tuple[str, ...] = (
    "good morning",
    "good night",
    "thank you",
    "happy birthday",
    "welcome home",
    "open daily",
    "no parking",
    "wet paint",
    "keep out",
    "do not enter",
    "mind the gap",
    "please wait here",
    "free entry",
    "sold out",
    "coming soon",
    "new arrivals",
    "best price",
    "buy one get one",
    "half price today",
    "made with love",
    "made by hand",
    "fresh every day",
    "ice cold lemonade",
    "hot chocolate",
    "coffee to go",
    "take a break",
    "have a nice day",
    "dream big",
    "never give up",
    "just do it now",
    "stay calm",
    "be kind",
    "carpe diem",
    "less is more",
    "time flies",
    "live and learn",
    "better together",
    "follow me",
    "see you soon",
    "this way up",
    "handle with care",
    "first class",
    "grand opening",
    "live music tonight",
    "lost and found",
    "room for rent",
    "garage sale",
    "beware of the dog",
    "quiet please",
    "exit only",
    "one way",
    "game over",
    "level up",
    "once upon a time",
    "the end",
    "to be continued",
    "happy new year",
    "merry christmas",
    "get well soon",
    "congratulations",
    "out of order",
    "back in five minutes",
    "say cheese",
    "hello world",
    "yes we can",
    "work hard",
    "all you need is love",
    "save the date",
    "save our planet",
    "wash your hands",
)

LETTERS = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Of random strings; those that look alike are left out."""
