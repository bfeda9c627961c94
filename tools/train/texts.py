"""Word lists and small text makers shared by the generators of skills."""
NAMES = ("Alice Bob Carol David Emma Frank Grace Henry Iris Jack Kate Leo Mia Noah Olivia Peter Quinn Rosa Sam Tina "
         "Uma Victor Wendy Xavier Yara Zoe Anna Ben Clara Daniel Ella Felix Hana Ivan Julia Kim Lucas Maria Nina Oscar "
         "Paul Rita Simon Tom Vera Walter Lily Max Ruby Toby Milo Luna Otto Pip Nora Hugo Ada Finn Elsa Theo").split()
SURNAMES = "Smith Jones Miller Brown Garcia Lopez Wagner Rossi Silva Novak Tanaka Chen Kumar Larsen Moreau Weber".split()
CITIES = ("Paris;London;Berlin;Madrid;Rome;Vienna;Tokyo;Oslo;Lisbon;Dublin;Prague;Warsaw;Athens;Cairo;Delhi;Mumbai;"
          "Beijing;Shanghai;Seoul;Bangkok;Sydney;Melbourne;Toronto;Montreal;Chicago;Boston;Seattle;Denver;Dallas;Miami;"
          "New York;Los Angeles;San Francisco;Mexico City;Lima;Bogota;Santiago;Buenos Aires;Sao Paulo;Nairobi;Lagos;"
          "Accra;Tunis;Istanbul;Ankara;Moscow;Kyiv;Helsinki;Stockholm;Copenhagen;Amsterdam;Brussels;Zurich;Geneva;Milan;"
          "Naples;Venice;Munich;Hamburg;Cologne;Lyon;Nice;Bordeaux;Porto;Seville;Barcelona;Valencia;Krakow;Budapest;"
          "Zagreb;Sofia;Riga;Tallinn;Vilnius;Reykjavik;Edinburgh;Glasgow;Leeds;Bristol;Cardiff;Osaka;Kyoto;Taipei;"
          "Hanoi;Manila;Jakarta;Singapore;Perth;Auckland;Wellington;Cape Town;Quito;Havana;Austin;Houston;Portland").split(";")
CAPITALS = dict(zip("France England Germany Spain Italy Austria Japan Norway Portugal Ireland Poland Greece Egypt India China "
                    "Korea Thailand Peru Kenya Turkey Russia Finland Sweden Denmark Hungary Bulgaria Latvia Cuba".split(),
                    "Paris London Berlin Madrid Rome Vienna Tokyo Oslo Lisbon Dublin Warsaw Athens Cairo Delhi Beijing "
                    "Seoul Bangkok Lima Nairobi Ankara Moscow Helsinki Stockholm Copenhagen Budapest Sofia Riga Havana".split()))
ANIMALS = ("fox cat dog rabbit bear owl mouse wolf deer duck goat horse lion tiger turtle frog hedgehog squirrel penguin "
           "elephant monkey sheep cow pig hen crow whale dolphin bee snail dragon robot").split()
THINGS = ("lamp key book bell boat kite drum map coin ring clock stone shell flower apple basket ladder lantern blanket "
          "hat scarf flute mirror candle bottle wheel box pencil cup spoon chair table door window garden bridge tower "
          "river train bicycle balloon ball cake loaf seed feather").split()
COLORS = ("red blue green yellow purple orange pink brown black white gray teal gold silver violet crimson amber ivory "
          "scarlet turquoise olive navy lime coral").split()
FOODS = ("pizza pasta soup bread cheese rice salad sushi curry pancakes noodles apples grapes cherries tacos waffles "
         "dumplings mango honey chocolate").split()
JOBS = "teacher doctor baker farmer pilot nurse painter writer driver singer engineer chef gardener sailor lawyer tailor".split()
HOBBIES = "chess painting swimming running reading cooking hiking singing dancing fishing cycling sailing knitting skating".split()
ADJECTIVES = ("small big old young brave shy clever kind happy sad quiet noisy lazy busy gentle proud curious tired "
              "hungry lonely cheerful careful").split()
LANGUAGES = "French German Spanish Italian Portuguese Dutch Swedish Polish Greek Turkish Japanese Korean Chinese Hindi Arabic".split()
CURRENCIES = "USD EUR GBP JPY CHF CAD AUD CNY INR SEK NOK DKK PLN MXN BRL KRW".split()
CONDITIONS = "sunny cloudy rainy windy snowy foggy stormy clear overcast".split() + ["partly cloudy", "light rain", "heavy rain"]
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
SYSTEMS = ["You are a helpful assistant.", "You are a helpful assistant", "You are Conclave demo model.", "Be concise.",
           "You are a friendly assistant.", "Answer briefly and clearly.", "You are an AI assistant. Help the user.",
           "You are a helpful, honest assistant.", "Follow the instructions of the user.", "You are an expert assistant."]
CODES = "ABCDEFGHJKLMNPQRSTUVWXYZ"


def made_up(r):
    """A pronounceable word that is in no list."""
    word = "".join(r.choice("b c d f g h k l m n p r s t v w z br st tr pl sh".split()) + r.choice("aeiou")
                   for _ in range(r.randint(1, 3)))
    return word + r.choice(["", "n", "r", "s", "l", "x", "m", "t", "ck"])


def code(r):
    """A short code such as 4821, K7-203, brimo."""
    kind = r.randrange(5)
    if kind < 2:
        return str(r.randint(100, 99999))
    if kind == 2:
        return r.choice(CODES) + str(r.randint(1, 9)) + "-" + str(r.randint(10, 999))
    if kind == 3:
        return r.choice(CODES) + r.choice(CODES) + str(r.randint(10, 9999))
    return made_up(r)


def city(r):
    """A city, sometimes made up, so that names are copied and not only known."""
    return made_up(r).capitalize() if r.random() < 0.35 else r.choice(CITIES)


def person(r):
    """A first name, sometimes made up, sometimes with a surname."""
    first = made_up(r).capitalize() if r.random() < 0.25 else r.choice(NAMES)
    return first + " " + r.choice(SURNAMES) if r.random() < 0.15 else first


def sentence(r):
    """One plain sentence, for fillers."""
    a, b, n, t = r.choice(ANIMALS), r.choice(ANIMALS), r.choice(NAMES), r.choice(THINGS)
    return r.choice([
        f"The {r.choice(ADJECTIVES)} {a} sat near the {t}.", f"{n} walked to the market to buy {r.choice(FOODS)}.",
        f"A {a} and a {b} played by the river.", f"On {r.choice(WEEKDAYS)} {n} painted the {t} {r.choice(COLORS)}.",
        f"{n} works as a {r.choice(JOBS)} in {r.choice(CITIES)}.", f"The {t} was {r.choice(COLORS)} and very old.",
        f"In {r.choice(MONTHS)} the {a} slept under a {r.choice(COLORS)} {t}.",
        f"{n} likes {r.choice(HOBBIES)} and {r.choice(FOODS)}.", f"It was a {r.choice(ADJECTIVES)} day and the sky was {r.choice(COLORS)}.",
        f"The train to {r.choice(CITIES)} left late.", f"{n} told {r.choice(NAMES)} about the {t}.",
        f"Every morning the {a} looks for {r.choice(FOODS)}."])


def filler(r, sentences):
    """Some plain sentences in a row."""
    return " ".join(sentence(r) for _ in range(sentences))


def story(r, hero=None, name=None):
    """A little story of five to eight sentences about the hero."""
    hero = hero or r.choice(ANIMALS)
    name = name or r.choice(NAMES)
    adj, place = r.choice(ADJECTIVES[:12]), r.choice(["a quiet forest", "a green valley", "a little village", "an old town",
                                                     "a house by the sea", "a garden behind the hill", "a farm near the river"])
    thing, color = r.choice(THINGS), r.choice(COLORS[:12])
    friend = r.choice([a for a in ANIMALS if a != hero])
    article = "an" if hero[0] in "aeiou" else "a"
    first = r.choice([f"Once upon a time there was {article} {hero} named {name} who lived in {place}.",
                      f"In {place} lived {article} {hero} called {name}."])
    problem, clue, end = r.choice([
        (f"One morning {name} lost a {color} {thing} and felt very sad.",
         f"They looked under every tree and behind every stone.",
         f"At last they found the {thing} under a pile of leaves."),
        (f"One day {name} found a {color} {thing} on the path and wondered who had lost it.",
         f"They asked everyone they met along the way.",
         f"In the end it belonged to an old teacher, who thanked them with warm bread."),
        (f"One night a storm came, and the wind carried away the {color} {thing} of {name}.",
         f"They followed the wind over the hills until the sun came up.",
         f"There it was, high in a tree, and together they brought it down."),
        (f"One winter it was so cold that {name} could not sleep.",
         f"They made a small fire and shared a {color} blanket.",
         f"Soon it was warm, and the long night was not so long any more.")])
    help_ = r.choice([f"Then a {r.choice(ADJECTIVES[12:])} {friend} came by and offered to help.",
                      f"A {friend} heard about it and came to help at once."])
    last = r.choice([f"From that day on, {name} and the {friend} were the best of friends.",
                     f"{name} the {hero} smiled, and the two friends walked home together.",
                     f"And {name} learned that everything is easier with a friend."])
    trait = f"{name} was {adj} and liked {r.choice(HOBBIES)} more than anything else."
    return " ".join([first, trait, problem, help_, clue, end, last])
