"""Owns the words that invented people, companies, streets and goods are made of.

None holds a tab, a backslash or a newline: they go into COPY as they are.
"""

FIRST_NAMES = (
    "Ada", "Aisha", "Alejandro", "Anna", "Bilal", "Björn", "Camille", "Chidi", "Chloé", "Deniz",
    "Elif", "Emeka", "Emma", "Farah", "Freya", "Giulia", "Goran", "Hana", "Hugo", "Ines", "Ivan",
    "Jakub", "Joana", "Kenji", "Lars", "Leila", "Lena", "Luca", "Magda", "Mehmet", "Mia", "Nadia",
    "Noah", "Olga", "Omar", "Paula", "Piotr", "Priya", "Rafael", "Rosa", "Sami", "Sofia", "Sven",
    "Tariq", "Tomás", "Valentina", "Wei", "Yuki", "Yusuf", "Zofia",
)  # fmt: skip
LAST_NAMES = (
    "Abebe", "Andersson", "Bauer", "Bianchi", "Costa", "Demir", "Dubois", "Eriksen", "Fernández",
    "Fischer", "García", "Haddad", "Hansen", "Horvat", "Ivanova", "Jansen", "Kaya", "Kowalski",
    "Kumar", "Larsen", "Lopez", "Mahmoud", "Martin", "Meyer", "Moreau", "Mwangi", "Nakamura",
    "Nguyen", "Novak", "Okafor", "Papadopoulos", "Pereira", "Petit", "Popescu", "Richter",
    "Romano", "Rossi", "Sato", "Schmidt", "Silva", "Smith", "Tanaka", "Torres", "Varga", "Visser",
    "Wagner", "Wójcik", "Yildirim", "Zhang", "Ziegler",
)  # fmt: skip
MAIL_NAMES = ("anna", "b.meyer", "contact", "hello", "j", "lena", "mail", "me", "office", "omar")
MAIL_DOMAINS = ("example.com", "mail.example.com", "example.org", "example.net", "work.example.com")
COMPANY_NAMES = ("Anchor", "Birch", "Delta", "Meridian", "Nordlicht", "Orion", "Vistula", "Zenith")
COMPANY_KINDS = ("Furniture", "Instruments", "Machines", "Textiles", "Trading", "Wines")
CARRIER_NAMES = ("Alpine", "Bosporus", "Coastal", "Hanse", "Iberia", "Levant", "Polder", "Tatra")
STREETS = (
    "Church Road",
    "Harbour Street",
    "High Street",
    "Mill Lane",
    "Park Avenue",
    "Station Road",
)
LABELS = ("home", "office", "warehouse")
GOODS = (
    "Bicycle", "Box of books", "Boxes of spare parts", "Crate of glasses", "Desk", "Documents",
    "Drum of paint", "Laboratory samples", "Pallet of tiles", "Piano", "Roll of carpet",
    "Server rack", "Sofa", "Tools", "Washing machine", "Wine, six bottles",
)  # fmt: skip
LANGUAGES = ("en", "en", "de", "fr", "es", "pl", "tr", "ar")
COMMENTS = (
    "On time and friendly.", "Fast, would book again.", "A day late, nothing broken.",
    "One box was dented.", "Good price.", "Driver called ahead.",
)  # fmt: skip

# What people pay in where it is not the euro.
CURRENCIES = {
    "AE": "AED", "AU": "AUD", "BR": "BRL", "CA": "CAD", "CH": "CHF", "CN": "CNY", "CZ": "CZK",
    "DK": "DKK", "GB": "GBP", "IN": "INR", "JP": "JPY", "MX": "MXN", "NO": "NOK", "PL": "PLN",
    "SE": "SEK", "TR": "TRY", "US": "USD", "ZA": "ZAR",
}  # fmt: skip
