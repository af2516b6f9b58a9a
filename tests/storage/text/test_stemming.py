"""Forms of a word have a common term, in the language of their text."""

from __future__ import annotations

import pytest

from sightline.storage.text.analyzer import analyze
from sightline.storage.text.query_analysis import MAX_QUERY_TERMS, analyze_query
from sightline.storage.text.stemming import MARK, detect_languages
from sightline.storage.text.word_forms import data_rows, stem


def found(text: str, query: str) -> bool:
    """Return whether a term of the query is in the text."""
    return bool(
        {each.term for each in analyze_query(query).terms} & analyze(text).frequencies.keys()
    )


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Offene Rechnungen der Firma", "Rechnung"),
        ("Die Rechnung ist bezahlt", "Rechnungen"),
        ("Rechnungen", "Rechnung"),
        ("Zwei Häuser mit Garten", "Haus"),
        ("Herr Müller wohnt hier", "Mueller"),
        ("Herr Mueller wohnt hier", "Müller"),
        ("Les chevaux sont dans le pré", "cheval"),
        ("Las facturaciones de la empresa no son correctas", "facturación"),
        ("Le fatture della ditta sono state pagate", "fattura"),
        ("As faturas da empresa não foram pagas", "fatura"),
        ("De facturen van het bedrijf zijn betaald", "factuur"),
        ("Räkningarna är inte betalda", "räkning"),
        ("Faktury nie są opłacone", "faktura"),
        ("Faturalar bu ay için ödendi", "fatura"),
        ("Арендаторы платят", "арендатор"),
        ("оплатить счета", "счет"),
        ("الكتب على الطاولة", "كتاب"),
        ("فواتير الكهرباء", "فاتورة"),
        ("영수증을 보냈습니다", "영수증"),
        ("학생이 책을 읽는다", "학생은"),
        ("發票", "发票"),
        ("東京駅", "东京"),
        ("広島の鉄道", "广岛"),
        ("プリンター", "プリンタ"),
        ("1.299,00", "1299"),
        ("1299", "1 299,00"),
        ("1,234.50", "1234,50"),
    ],
)
def test_a_form_of_a_word_finds_another(text: str, query: str) -> None:
    assert found(text, query)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("a rat in the cellar", "rate"),  # the same stem in German
        ("rat", "rate"),
        ("the van of the bakery", "vans rate"),
        ("Die Rechnung ist bezahlt", "Rechner"),
    ],
)
def test_a_stem_of_another_language_finds_no_english_word(text: str, query: str) -> None:
    assert {each.term for each in analyze_query(query).terms if MARK in each.term}.isdisjoint(
        analyze(text).frequencies
    )


@pytest.mark.parametrize(
    ("british", "american"),
    [
        ("colours", "color"),
        ("favourite", "favorite"),
        ("neighbouring", "neighboring"),
        ("organisation", "organizations"),
        ("analysed", "analyzing"),
        ("kilometres", "kilometer"),
        ("metre", "meters"),
        ("theatres", "theater"),
        ("defences", "defense"),
        ("catalogued", "cataloged"),
        ("travelling", "traveling"),
        ("jewellery", "jewelry"),
        ("encyclopaedia", "encyclopedia"),
        ("anaesthetist", "anesthetist"),
        ("leukaemia", "leukemia"),
        ("cheques", "check"),
        ("tyres", "tire"),
    ],
)
def test_british_and_american_spellings_are_one_word(british: str, american: str) -> None:
    assert stem(british) == stem(american)


def test_every_pair_of_spellings_has_one_stem() -> None:
    for british, american in data_rows("british_english.txt"):
        one, other = (each.strip("-") for each in (british, american))
        if not british.startswith("-"):
            assert stem(one) == stem(other), british


@pytest.mark.parametrize(
    ("text", "languages"),
    [
        ("the invoice of this month is in the folder", ("en",)),
        ("die rechnung ist in dem ordner", ("de",)),
        ("la facture de ce mois est dans le dossier", ("fr",)),
        ("la factura de este mes está en la carpeta", ("es",)),
        ("la fattura di questo mese è nella cartella", ("it",)),
        ("a fatura deste mês não está na pasta", ("pt",)),
        ("de factuur van deze maand is niet in de map", ("nl",)),
        ("fakturan för den här månaden är inte i mappen", ("sv",)),
        ("faktura za ten miesiąc nie jest w folderze", ("pl",)),
        ("faktura za tento měsíc není ve složce", ("cs",)),
        ("ennek a hónapnak a számlája nincs a mappában", ("hu",)),
        ("factura pentru această lună nu este în dosar", ("ro",)),
        ("bu ayın faturası klasörde değil", ("tr",)),
        ("tämän kuun lasku ei ole kansiossa", ("fi",)),
        ("rechnungen", ("de",)),
        ("site plan", ()),
        ("kitchen station management", ()),
    ],
)
def test_the_language_of_a_text_is_detected(text: str, languages: tuple[str, ...]) -> None:
    assert detect_languages(text.split()) == languages


def test_english_text_gets_no_other_terms() -> None:
    terms = analyze("The dogs of the neighbors were running in the garden").frequencies
    assert not [term for term in terms if term.startswith(MARK)]


def test_a_long_query_stays_within_its_terms() -> None:
    words = (f"wort{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(400))
    query = analyze_query(" ".join(words))
    assert query.truncated
    assert len(query.terms) <= MAX_QUERY_TERMS
