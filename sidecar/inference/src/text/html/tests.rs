use proptest::prelude::*;

use super::*;

/// The document with every text in capitals, as if that were a language.
fn shouted(html: &str) -> String {
    let document = HtmlDocument::parse(html).unwrap();
    let texts: Vec<String> = document.texts().iter().map(|text| text.to_uppercase()).collect();
    document.assemble(&texts)
}

fn texts(html: &str) -> Vec<String> {
    HtmlDocument::parse(html).unwrap().texts()
}

#[test]
fn tags_comments_and_attributes_stay_as_they_were_written() {
    let cases = [
        ("plain", "PLAIN"),
        ("", ""),
        (
            "<p>one</p>\n  <p CLASS='a b' title=\"the title\">two</p>",
            "<p>ONE</p>\n  <p CLASS='a b' title=\"the title\">TWO</p>",
        ),
        ("<ul><li>one<li> two </ul>", "<ul><li>ONE<li> TWO </ul>"),
        ("one<br/>two<hr>three", "ONE<br/>TWO<hr>THREE"),
        ("one<!-- not this -->two", "ONE<!-- not this -->TWO"),
        (
            "<!DOCTYPE html><html><head><title>one</title></head><body>two</body></html>",
            "<!DOCTYPE html><html><head><title>ONE</title></head><body>TWO</body></html>",
        ),
        ("<img alt=\"one\" src=x>two", "<img alt=\"one\" src=x>TWO"),
        ("a </b> stray", "A </b> STRAY"),
        ("<p><p></p>one</p>two", "<p><p></p>ONE</p>TWO"),
        ("<p>open", "<p>OPEN"),
    ];
    for (html, expected) in cases {
        assert_eq!(shouted(html), expected, "{html}");
    }
}

#[test]
fn what_is_not_for_readers_is_left_alone() {
    for html in [
        "<script>var a = 'one <b>two</b>';</script>",
        "<style>p { color: red }</style>",
        "<code>let a = 1;</code>",
        "<p translate=\"no\">one <b>two</b></p>",
        "<p class=\"x notranslate\">one</p>",
        "<svg><text>one</text></svg>",
        "<p> </p>",
    ] {
        assert_eq!(texts(html), Vec::<String>::new(), "{html}");
        assert_eq!(shouted(html), html);
    }
    assert_eq!(
        shouted("<div translate=no>one<p translate=yes>two</p></div>three"),
        "<div translate=no>one<p translate=yes>TWO</p></div>THREE"
    );
}

#[test]
fn entities_are_characters_and_are_escaped_again() {
    assert_eq!(texts("<p>R&amp;D &lt;now&gt; caf&eacute;&nbsp;x</p>"), ["R&D <now> caf\u{e9}\u{a0}x"]);
    assert_eq!(shouted("<p>r&amp;d &lt;a&gt; &quot;b&quot;</p>"), "<p>R&amp;D &lt;A&gt; \"B\"</p>");
    assert_eq!(HtmlDocument::parse("a").unwrap().assemble(&["<script>".to_owned()]), "&lt;script&gt;");
}

#[test]
fn a_sentence_with_tags_in_it_is_one_text() {
    assert_eq!(texts("<p>The <b>red</b>\n   fox</p>"), ["The red fox", "The", "red", "fox"]);
    assert_eq!(HtmlDocument::parse("<h1>a <b>b</b></h1><p>c").unwrap().prose(), "a b\nc");
    assert_eq!(texts("<pre>one\n  two</pre>"), ["one\n  two"]);
    assert_eq!(texts("<p>Run <code>ls -l</code> now</p>"), ["Run ls -l now", "Run", "now"]);
}

#[test]
fn tags_go_around_the_translation_of_what_they_enclose() {
    let cases: [(&str, &[&str], &str); 9] = [
        (
            "<p>The <b>red</b> fox</p>",
            &["Der rote Fuchs", "Der", "Rote", "Fuchs"],
            "<p>Der <b>rote</b> Fuchs</p>",
        ),
        // The order of words changes, and with it that of the tags.
        (
            "<p>the <a href=x>house</a> <i>white</i></p>",
            &["das wei\u{df}e Haus", "das", "Haus", "wei\u{df}e"],
            "<p>das <i>wei\u{df}e</i> <a href=x>Haus</a></p>",
        ),
        (
            "<p>Run <code>ls</code> now</p>",
            &["Jetzt ls ausf\u{fc}hren", "Lauf", "jetzt"],
            "<p>Jetzt <code>ls</code> ausf\u{fc}hren</p>",
        ),
        // Not found: every stretch alone.
        ("<p>The <b>red</b> fox</p>", &["Ein Fuchs", "Der", "rote", "Fuchs"], "<p>Der <b>rote</b> Fuchs</p>"),
        // A part of a word is not the word.
        (
            "<p>an <b>ox</b> fox</p>",
            &["ein Ochsenfuchs", "ein", "Ochse", "Fuchs"],
            "<p>ein <b>Ochse</b> Fuchs</p>",
        ),
        // Several stretches in one element.
        (
            "<p><a><b>one</b> two</a> three</p>",
            &["eins zwei drei", "eins", "zwei", "drei"],
            "<p><a><b>eins</b> zwei</a> drei</p>",
        ),
        ("<p><b>one</b></p>", &["eins"], "<p><b>eins</b></p>"),
        // A tag that cuts a word.
        (
            "<p>stop<b>stop</b> stop</p>",
            &["Halthalt Halt", "Halt", "halt", "Halt"],
            "<p>Halt<b>halt</b> Halt</p>",
        ),
        // Twice the same: the one that is as far along.
        ("<p>so and <b>so</b></p>", &["so und so", "so und", "so"], "<p>so und <b>so</b></p>"),
    ];
    for (html, translations, expected) in cases {
        let document = HtmlDocument::parse(html).unwrap();
        let translations: Vec<String> = translations.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(document.texts().len(), translations.len(), "{html}");
        assert_eq!(document.assemble(&translations), expected);
    }
}

#[test]
fn a_large_document_is_read_and_put_together_in_little_time() {
    for part in ["<b>x</b> ", "<b>", "<p>x", "&amp;", "</b>x", "<i>x</i><br>"] {
        let html = part.repeat((256 << 10) / part.len());
        let document = HtmlDocument::parse(&html).unwrap();
        let same = document.assemble(&document.texts());
        assert_eq!(htmlize::unescape(&same).len(), htmlize::unescape(&html).len(), "{part}");
    }
}

#[test]
fn without_translations_a_document_stays() {
    let html = "<p>The <b>red</b> fox</p> and";
    assert_eq!(HtmlDocument::parse(html).unwrap().assemble(&[]), html);
}

proptest! {
    /// Whatever the markup, no tag is lost or doubled, and texts that are their own translation change no letter.
    #[test]
    fn tags_survive_any_markup(parts in prop::collection::vec(
        prop::sample::select(vec![
            "<p>", "</p>", "<b>", "</b>", "<i>", "</i>", "<br>", "word ", " x", "<li>", "<code>", "</code>", "&amp;",
            "<!-- c -->", "<div translate=no>", "</div>", " ", "<script>", "</script>", "<", "\u{e9}",
        ]),
        0..14,
    )) {
        let html = parts.concat();
        let document = HtmlDocument::parse(&html).unwrap();
        let same = document.assemble(&document.texts());
        let letters = |html: &str| htmlize::unescape(html).split_whitespace().collect::<String>();
        prop_assert_eq!(letters(&same), letters(&html));
    }
}
