"""The words of the sample company: names, places, phone plans, goods, campaigns and stores.

Here: plain data and the small tables computed from it once at import.
Belongs here: a word, a weight, a pattern. Not here: who has which name, or how it is misspelt.
In the compact lists `_` stands for a space, and `Name:Nick,Nick` gives a name's nicknames.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import numpy as np

_FIRST_NAMES = {
    ("en", "M"): """James:Jim,Jimmy,Jamie John:Johnny,Jack Robert:Bob,Rob,Bobby Michael:Mike,Mick
        William:Bill,Will,Billy David:Dave,Davey Richard:Rick,Dick,Richie Thomas:Tom,Tommy
        Charles:Charlie,Chuck Christopher:Chris Daniel:Dan,Danny Matthew:Matt Anthony:Tony
        Mark Steven:Steve Paul Andrew:Andy,Drew Joshua:Josh Kenneth:Ken,Kenny Kevin
        George Timothy:Tim Edward:Ed,Ted,Eddie Jason Jeffrey:Jeff Ryan Jacob:Jake Nicholas:Nick
        Gary Jonathan:Jon Stephen:Steve Lawrence:Larry Samuel:Sam,Sammy Gregory:Greg Benjamin:Ben
        Patrick:Pat,Paddy Alexander:Alex,Sandy Raymond:Ray Zachary:Zach Harold:Harry Oliver:Ollie
        Walter:Walt Peter:Pete Henry:Hank,Harry Nathan:Nate Francis:Frank Frederick:Fred
        Albert:Al""",
    ("en", "F"): """Mary:Molly,Polly Patricia:Pat,Trish,Patty Jennifer:Jen,Jenny Linda:Lindy
        Elizabeth:Liz,Beth,Betty Barbara:Barb,Babs Susan:Sue,Susie Jessica:Jess Sarah:Sally
        Karen Margaret:Maggie,Peggy,Meg Nancy Lisa Emily:Em Sandra:Sandy Ashley Kimberly:Kim
        Donna Michelle:Shelly Amanda:Mandy Melissa:Mel,Missy Deborah:Deb,Debbie Stephanie:Steph
        Rebecca:Becky,Becca Laura Dorothy:Dot,Dottie Amy Cynthia:Cindy Katherine:Kate,Kathy,Katie
        Christine:Chris,Tina Samantha:Sam Catherine:Cathy,Cath Rachel:Rach Carolyn:Carol Janet:Jan
        Victoria:Vicky,Tori Heather Abigail:Abby Alexandra:Alex,Sandra Gabrielle:Gabby Olivia:Liv
        Charlotte:Lottie Eleanor:Ellie,Nell Josephine:Jo,Josie Theresa:Tess,Terry Madeleine:Maddy
        Jacqueline:Jackie Frances:Fran Judith:Judy Penelope:Penny Isabella:Bella""",
    ("de", "M"): """Thomas:Tom Michael:Micha Andreas:Andi Stefan Christian:Chris Maximilian:Max
        Johannes:Hans,Hannes Alexander:Alex Sebastian:Basti Tobias:Tobi Florian:Flo Jürgen
        Wolfgang:Wolf Matthias:Matze Jörg Björn Günther Friedrich:Fritz Joachim:Jochen Lukas Jonas
        Felix Moritz Leon""",
    ("de", "F"): """Anna Sabine:Bine Susanne:Susi Katharina:Kathi,Käthe Julia:Jule Christina:Tina
        Ursula:Uschi Monika:Moni Petra Claudia Stefanie:Steffi Johanna:Hanna Magdalena:Lena
        Jasmin Käthe Brigitte:Gitte Angelika:Geli Sophie Lea Mia Elisabeth:Elli,Lisa
        Franziska:Franzi         Jutta Heike""",
    ("fr", "M"): """Jean Pierre Michel André Philippe:Phil François Frédéric:Fred Nicolas:Nico
        Christophe Stéphane:Steph Sébastien:Seb Benoît Grégory:Greg Maxime:Max Théo Hugo Rémi Loïc
        Guillaume Étienne Mathieu:Mat Antoine Cédric Jérôme""",
    ("fr", "F"): """Marie Nathalie Isabelle:Isa Catherine:Cathy Sylvie Françoise Céline Aurélie
        Émilie Valérie:Val Sandrine Stéphanie:Steph Hélène Chloé Manon Camille Zoé Inès Léa
        Véronique:Véro Dominique Élodie Béatrice:Béa Joséphine:Jo""",
    ("in", "M"): """Rajesh:Raj Suresh Amit Rahul Vijay Sanjay Arjun Rohan Vikram:Vicky Anil Sunil
        Karthik Aditya:Adi Siddharth:Sid Manoj Deepak Krishnamurthy:Krishna Abhishek:Abhi Nikhil
        Mohammed:Mohd Imran Harpreet:Harry Gurpreet Pranav""",
    ("in", "F"): """Priya Anjali:Anju Sunita Pooja Neha Kavita Lakshmi Deepika:Deepa Ananya:Anu
        Divya Meera Shreya Aishwarya:Aish Nandini Rekha Swati Sneha Fatima Ayesha Jaspreet Kiran
        Padma Radhika Saraswati:Saras""",
    (
        "es",
        "M",
    ): """José:Pepe Juan Luis Carlos Jesús:Chuy Miguel Francisco:Paco,Pancho Alejandro:Alex
        Antonio:Toño Ángel Andrés Eduardo:Lalo Guadalupe:Lupe Enrique:Quique Ignacio:Nacho Rubén""",
    ("es", "F"): """María Guadalupe:Lupe Carmen Ana Rosa Concepción:Concha Dolores:Lola Inés Lucía
        Sofía Mónica Verónica:Vero Beatriz:Bea Begoña Ximena Noemí""",
}

_SURNAMES = {
    "en": """Smith Johnson Williams Brown Jones Davis Miller Wilson Taylor Anderson Moore Jackson
        Martin White Thompson Harris Clark Lewis Robinson Walker Young Allen King Wright Scott Green
        Adams Baker Hall Campbell Mitchell Carter Roberts Turner Phillips Parker Evans Edwards
        Collins Stewart Morris Rogers Reed Cook Morgan Bell Murphy Bailey Cooper Richardson Cox
        Howard Ward Peterson Gray Watson Brooks Kelly Sanders Price Bennett Wood Barnes Ross
        Henderson Coleman Jenkins Perry Powell Long Patterson Hughes Washington Butler Simmons
        Foster Bryant Russell Griffin Hayes Myers Ford Hamilton Graham Sullivan Wallace Woods Cole
        West Jordan Owens Reynolds Fisher Ellis Harrison McDonald O'Brien O'Connor MacDonald
        St._John Fitzgerald Nguyen Kim Lee Park Chen Wang Okafor Adeyemi Kowalski Novák Søndergård
        Ødegaard Łuczak Null NA True van_der_Berg""",
    "de": """Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Schäfer Koch
        Bauer Richter Klein Wolf Schröder Neumann Schwarz Zimmermann Braun Krüger Hofmann Hartmann
        Lange Schmitt Werner Krause Meier Lehmann Schmid Schulze Maier Köhler Herrmann König Walter
        Mayer Huber Kaiser Fuchs Peters Lang Scholz Möller Weiß Jung Hahn Schubert Vogel Friedrich
        Keller Günther Frank Berger Winkler Roth Beck Lorenz Baumann Franke Albrecht Schuster Böhm
        Groß Strauß Yılmaz Kaya von_Arnim""",
    "fr": """Martin Bernard Dubois Thomas Robert Richard Petit Durand Leroy Moreau Simon Laurent
        Lefebvre Michel Garcia David Bertrand Roux Vincent Fournier Morel Girard André Lefèvre
        Mercier Dupont Lambert Bonnet François Martinez Legrand Garnier Faure Rousseau Blanc Guérin
        Muller Henry Roussel Nicolas Perrin Morin Mathieu Clément Gauthier Dumont Lopez Fontaine
        Chevalier Robin Masson Sanchez Gérard Nguyen Boyer Denis Lemaire Duval Joly Gautier Roger
        Benali Traoré N'Diaye de_la_Tour d'Aubigné""",
    "in": """Sharma Verma Gupta Singh Kumar Patel Shah Mehta Reddy Rao Nair Menon Iyer Iyengar
        Chatterjee Banerjee Mukherjee Das Bose Ghosh Sen Dutta Joshi Desai Kulkarni Deshpande Patil
        Chauhan Yadav Mishra Pandey Tiwari Dubey Trivedi Bhatt Pillai Naidu Krishnan Subramanian
        Venkataraman Khan Ahmed Ansari Siddiqui Kaur Gill Sandhu Malhotra Kapoor Khanna Chopra
        Agarwal Bansal Mittal Jain D'Souza Fernandes Pereira Thomas Varghese""",
    "es": """García Rodríguez Martínez Hernández López González Pérez Sánchez Ramírez Torres Flores
        Rivera Gómez Díaz Cruz Morales Reyes Gutiérrez Ortiz Chávez Ruiz Jiménez Mendoza Castillo
        Vásquez Núñez Muñoz Peña Ibáñez de_la_Cruz""",
}
# A long tail of rarer English place surnames, so that a big company is not full of namesakes.
_PLACE_HEADS = """Ash Brad Black Hart Wink Pem Thorn Lang Hol Whit Kirk Stan Mar Win Shel Cran Al
    Ever Ravens Clif""".split()
_PLACE_TAILS = "ton ford ley wood field well worth bourne combe hurst".split()

COUNTRIES = ("US", "GB", "DE", "FR", "IN", "AU")
COUNTRY_WEIGHTS = (0.38, 0.20, 0.15, 0.11, 0.09, 0.07)
CURRENCIES = ("USD", "GBP", "EUR", "EUR", "INR", "AUD")
# Shelf price in local money for one US dollar.
PRICE_LEVELS = (1.0, 0.85, 0.95, 0.95, 42.0, 1.55)
LOCALES = ("en-US", "en-GB", "de-DE", "fr-FR", "en-IN", "en-AU")
COUNTRY_TEXTS = (
    ("US", "United States", "USA"),
    ("GB", "United Kingdom", "UK"),
    ("DE", "Germany", "Deutschland"),
    ("FR", "France", "France"),
    ("IN", "India", "India"),
    ("AU", "Australia", "Australia"),
)
POOLS = ("en", "de", "fr", "in", "es")
# Share of each name pool in each country, in the order of POOLS.
POOL_WEIGHTS = (
    (0.74, 0.04, 0.03, 0.06, 0.13),
    (0.84, 0.03, 0.03, 0.09, 0.01),
    (0.05, 0.90, 0.02, 0.01, 0.02),
    (0.04, 0.03, 0.90, 0.01, 0.02),
    (0.04, 0.00, 0.00, 0.96, 0.00),
    (0.82, 0.04, 0.02, 0.10, 0.02),
)


@dataclass(frozen=True)
class PhonePlan:
    """Numbers of one country: `#` is a digit of the national significant number.

    Attributes:
        mobile, landline: prefixes, all of one length within a list.
        mobile_length, landline_length: digits of the whole national number.
        forms: how people write a mobile number; the first is E.164, the last is what Excel leaves.
        landline_forms: the same for a landline.
    """

    mobile: tuple[str, ...]
    mobile_length: int
    forms: tuple[str, ...]
    landline: tuple[str, ...]
    landline_length: int
    landline_forms: tuple[str, ...]


_US_AREAS = "415 212 312 206 303 512 617 702 305 404 713 602 503 919 216 313 816 504".split()
_US_FORMS = (
    "+1##########", "(###) ###-####", "###-###-####", "##########", "+1 ###-###-####",
    "1 ### ### ####", "###.###.####", "#.#####E9",
)  # fmt: skip
PHONE_PLANS = (
    PhonePlan(
        tuple(area + d for area in _US_AREAS for d in "357"), 10, _US_FORMS,
        tuple(area + d for area in _US_AREAS for d in "24"), 10, _US_FORMS,
    ),
    PhonePlan(
        tuple("7400 7450 7500 7540 7710 7720 7740 7800 7850 7912 7930 7960 7980".split()), 10,
        ("+44##########", "0#### ######", "+44 #### ######", "+44 (0)#### ######", "0##########",
         "0044##########", "0#### ### ###", "#.#####E9"),
        ("2072", "2083", "1614", "1216", "1132"), 10,
        ("+44##########", "0## #### ####", "+44 ## #### ####", "+44 (0)## #### ####", "0##########",
         "0044##########", "(0##) #### ####", "#.#####E9"),
    ),
    PhonePlan(
        tuple("1511 1512 1514 1515 1516 1517 1520 1522 1523 1525 1573 1575 1577 1578".split()), 11,
        ("+49###########", "0### ########", "+49 ### ########", "+49 (0)### ########",
         "0###########", "0049###########", "0###/########", "#.#####E10"),
        ("3055", "8912", "4044", "2217", "6920"), 10,
        ("+49##########", "0## ########", "+49 ## ########", "+49 (0)## ########", "0##########",
         "0049##########", "0##/########", "#.#####E9"),
    ),
    PhonePlan(
        tuple("60 61 62 64 65 66 67 68 76 77".split()), 9,
        ("+33#########", "0# ## ## ## ##", "+33 # ## ## ## ##", "+33 (0)# ## ## ## ##",
         "0#########", "0033#########", "0#.##.##.##.##", "#.#####E8"),
        ("14", "24", "38", "46", "55"), 9,
        ("+33#########", "0# ## ## ## ##", "+33 # ## ## ## ##", "+33 (0)# ## ## ## ##",
         "0#########", "0033#########", "0#.##.##.##.##", "#.#####E8"),
    ),
    PhonePlan(
        tuple("98 99 97 96 95 94 90 88 81 70".split()), 10,
        ("+91##########", "##### #####", "+91 ##### #####", "+91-##########", "0##########",
         "0091##########", "##########", "#.#####E9"),
        ("1123", "2225", "8026", "4428", "4023"), 10,
        ("+91##########", "0## ########", "+91 ## ########", "+91-##-########", "0##########",
         "0091##########", "0##-########", "#.#####E9"),
    ),
    PhonePlan(
        tuple("40 41 42 43".split()), 9,
        ("+61#########", "0### ### ###", "+61 ### ### ###", "+61 (0)### ### ###", "0#########",
         "001161#########", "0###-###-###", "#.#####E8"),
        ("298", "396", "733"), 9,
        ("+61#########", "0# #### ####", "+61 # #### ####", "+61 (0)# #### ####", "0#########",
         "001161#########", "(0#) #### ####", "#.#####E8"),
    ),
)  # fmt: skip
# E.164, national, with +, with brackets, bare digits, 00, punctuation, Excel.
PHONE_FORM_WEIGHTS = (0.20, 0.26, 0.16, 0.09, 0.16, 0.05, 0.073, 0.007)


@dataclass(frozen=True)
class City:
    """A place: `postcode` takes digits at `#`; `utc_offset` is minutes in summer."""

    country: int
    name: str
    state: str
    postcode: str
    utc_offset: int


CITIES = tuple(
    City(COUNTRIES.index(code), name.replace("_", " "), state, postcode.replace("_", " "), offset)
    for code, name, state, postcode, offset in (
        ("US", "San_Francisco", "CA", "941##", -420), ("US", "Oakland", "CA", "946##", -420),
        ("US", "New_York", "NY", "100##", -240), ("US", "Brooklyn", "NY", "112##", -240),
        ("US", "Chicago", "IL", "606##", -300), ("US", "Seattle", "WA", "981##", -420),
        ("US", "Boston", "MA", "021##", -240), ("US", "Austin", "TX", "787##", -300),
        ("US", "Denver", "CO", "802##", -360), ("US", "Miami", "FL", "331##", -240),
        ("US", "Portland", "OR", "972##", -420), ("US", "Cañon_City", "CO", "812##", -360),
        ("GB", "London", "", "SW1#_#AB", 60), ("GB", "Manchester", "", "M1#_#QT", 60),
        ("GB", "Birmingham", "", "B1#_#TN", 60), ("GB", "Leeds", "", "LS#_#HG", 60),
        ("GB", "Bristol", "", "BS#_#PW", 60), ("GB", "Edinburgh", "", "EH#_#YL", 60),
        ("DE", "Berlin", "", "10###", 120), ("DE", "München", "", "80###", 120),
        ("DE", "Hamburg", "", "20###", 120), ("DE", "Köln", "", "50###", 120),
        ("DE", "Frankfurt_am_Main", "", "60###", 120),
        ("FR", "Paris", "", "750##", 120), ("FR", "Lyon", "", "690##", 120),
        ("FR", "Saint-Étienne", "", "42###", 120), ("FR", "Nantes", "", "44###", 120),
        ("IN", "Mumbai", "Maharashtra", "4000##", 330),
        ("IN", "Bengaluru", "Karnataka", "5600##", 330),
        ("IN", "Chennai", "Tamil Nadu", "6000##", 330),
        ("IN", "New_Delhi", "Delhi", "1100##", 330),
        ("AU", "Sydney", "NSW", "20##", 600), ("AU", "Melbourne", "VIC", "30##", 600),
        ("AU", "Brisbane", "QLD", "40##", 600),
    )
)  # fmt: skip

_EN_STREETS = """Main_St Oak_Street Maple_Avenue Park_Road Church_Lane High_Street Station_Road
    Cedar_Ct Elm_St Washington_Blvd Lake_View_Drive Hill_Street Victoria_Road Mill_Lane Pine_Ave
    King_St Queens_Road Sunset_Boulevard River_Road Green_Lane Albert_St School_Lane 2nd_Ave
    5th_Street Chestnut_Way Highland_Ave Forest_Drive Meadow_Close Orchard_Rd Harbour_Street"""
_STREETS = (
    _EN_STREETS,
    _EN_STREETS,
    """Hauptstraße Bahnhofstr. Gartenstraße Schulstraße Lindenallee Dorfstr. Bergstraße Ringstraße
    Goethestr. Mozartweg Kirchgasse Am_Markt Birkenweg Schillerplatz Uferstraße""",
    """rue_de_la_Paix avenue_Victor_Hugo rue_des_Lilas boulevard_Voltaire place_de_l'Église
    rue_du_Moulin chemin_des_Vignes rue_Jean_Jaurès allée_des_Érables quai_de_la_Loire
    rue_Pasteur impasse_du_Château""",
    """MG_Road Linking_Road Brigade_Road Anna_Salai Park_Street Gandhi_Nagar Nehru_Marg
    Station_Road Church_Street Residency_Road 4th_Cross Temple_Street""",
    _EN_STREETS,
)

# Provider, then the slips people make in it.
EMAIL_DOMAINS = (
    ("gmail.com", "gmial.com"), ("googlemail.com", "googlemail.co"), ("yahoo.com", "yaho.com"),
    ("outlook.com", "outlok.com"), ("hotmail.com", "hotmial.com"), ("icloud.com", "iclod.com"),
    ("gmx.de", "gmx.d"), ("web.de", "wed.de"), ("orange.fr", "orang.fr"),
    ("btinternet.com", "btinternet.co"), ("rediffmail.com", "redifmail.com"),
    ("bigpond.com", "bigpond.co"), ("larkspur-works.example", "larkspur-work.example"),
    ("northmill.example", "nortmill.example"),
)  # fmt: skip
EMAIL_DOMAIN_WEIGHTS = (
    0.40, 0.02, 0.10, 0.10, 0.09, 0.08, 0.035, 0.03, 0.025, 0.02, 0.02, 0.02, 0.03, 0.03,
)  # fmt: skip

JUNK_EMAILS = (
    "test@test.com", "noemail@fernhill.example", "none@none.com", "a@a.com", "na@na.com",
    "customer@fernhill.example", "noreply@fernhill.example",
)  # fmt: skip
JUNK_TEXTS = ("N/A", "unknown", "-", "none", "TBD", ".")
JUNK_PHONES = ("0000000000", "1234567890", "9999999999", "N/A", "unknown", "-")


@dataclass(frozen=True)
class Product:
    """One article: `dollars` is its shelf price at home in cents."""

    sku: str
    name: str
    category: str
    cents: int


_GOODS = {
    "kitchen": [('12" Cast-Iron Skillet', 4900), ("Café Mug, Set of 4", 3200),
                ("Chef's Knife", 8900), ("Oak Chopping Board", 4500),
                ("Enamel Kettle", 5900), ("Linen Tea Towel", 1400)],
    "bath": [("Turkish Towel", 2900), ("Soap Dish", 1200), ("Waffle Robe", 7900),
             ("Bath Mat", 3400)],
    "bedroom": [("Down Duvet", 18900), ("Percale Sheet Set", 11900), ("Wool Throw", 8900),
                ("Pillow, Firm", 4900), ("Bedside Lamp", 6900)],
    "garden": [("Secateurs", 3900), ("Terracotta Pot 30cm", 1900), ("Garden Bench", 24900),
               ("Watering Can", 3500), ("Seed Mix", 450), ("Hose, 25 m", 4400)],
    "lighting": [("Pendant Lamp", 12900), ("Desk Lamp", 7900), ("Fairy Lights", 1900),
                 ("LED Bulb", 690)],
    "furniture": [("Dining Table", 89900), ("Rattan Chair", 19900), ("Bookcase", 32900),
                  ("Footstool", 9900)],
    "outdoor": [("Camping Stove", 6900), ("Picnic Rug", 4900), ("Hammock", 7900),
                ("Cool Box", 8900)],
    "gifts": [("Scented Candle", 2400), ("Gift Card Holder", 350), ("Puzzle, 1000 Pieces", 1990),
              ("Notebook", 990), ("Wrapping Paper", 490)],
}  # fmt: skip
PRODUCTS = tuple(
    Product(f"{category[:3].upper()}-{number:03d}", name, category, cents)
    for category, goods in _GOODS.items()
    for number, (name, cents) in enumerate(goods, start=1)
)
CATEGORIES = tuple(_GOODS)

CAMPAIGNS = (
    ("summer-sale", "Summer sale: up to 40% off"),
    ("new-arrivals", "Just in: the autumn collection"),
    ("weekly-picks", "Seven things we love this week"),
    ("back-to-school", "Back to school, sorted"),
    ("loyalty-points", "Your points are waiting"),
    ("garden-week", "Garden week – Grüße aus dem Garten"),
)
QUEUES = ("Orders", "Returns", "Delivery", "Loyalty", "General")
CONTACT_REASONS = ("order_status", "return", "damaged_item", "loyalty_points", "product_question")
# Two stores in each city; a store's number is its place in this list plus 1.
STORE_CITIES = tuple(city for city in range(len(CITIES)) for _ in range(2))


def fold(text: str) -> str:
    """ASCII letters of `text` in lower case, as people turn a name into an email address."""
    special = str.maketrans({"ß": "ss", "ø": "o", "Ø": "o", "ł": "l", "Ł": "l", "ı": "i"})
    plain = (
        unicodedata.normalize("NFKD", text.translate(special)).encode("ascii", "ignore").decode()
    )
    return "".join(c for c in plain.lower() if c.isalnum())


def misspell(text: str) -> tuple[str, ...]:
    """Four usual slips in a name: two letters swapped, one dropped, one doubled, one mistaken."""
    middle = max(1, len(text) // 2)
    swapped = text[: middle - 1] + text[middle : middle + 1] + text[middle - 1] + text[middle + 1 :]
    dropped = text[:middle] + text[middle + 1 :]
    doubled = text[:middle] + text[middle - 1] + text[middle:]
    neighbours = str.maketrans("aeioucksmnyzt", "eaeuiskznmizd")
    mistaken = text[:middle] + text[middle:].translate(neighbours)
    return (swapped, dropped, doubled, mistaken)


def _words(compact: str) -> list[str]:
    return [word.replace("_", " ") for word in compact.split()]


def zipf(count: int) -> np.ndarray:
    """Cumulative weights of ranks 1..count: few common words, a long tail."""
    weights = 1.0 / (np.arange(count) + 4.0)
    return np.cumsum(weights / weights.sum())


def _first_name_tables() -> tuple[list[str], list[list[str]], dict[tuple[str, str], range]]:
    names: list[str] = []
    nicknames: list[list[str]] = []
    ranges: dict[tuple[str, str], range] = {}
    for pool, compact in _FIRST_NAMES.items():
        start = len(names)
        for word in _words(compact):
            name, _, nicks = word.partition(":")
            names.append(name)
            nicknames.append(nicks.split(",") if nicks else [name])
        ranges[pool] = range(start, len(names))
    return names, nicknames, ranges


def _surname_tables() -> tuple[list[str], dict[str, range]]:
    pools = {pool: _words(compact) for pool, compact in _SURNAMES.items()}
    pools["en"] += [head + tail for head in _PLACE_HEADS for tail in _PLACE_TAILS]
    names: list[str] = []
    ranges: dict[str, range] = {}
    for pool, words in pools.items():
        ranges[pool] = range(len(names), len(names) + len(words))
        names += words
    return names, ranges


FIRST_NAMES, NICKNAMES, FIRST_NAME_RANGES = _first_name_tables()
SURNAMES, SURNAME_RANGES = _surname_tables()
STREETS = [_words(compact) for compact in _STREETS]
