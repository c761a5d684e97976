"""The words and patterns of made-up artist names: data only.

The words are everyday ones. No real name is used on purpose; one may come up by chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Words of each slot, for every genre without its own words for that slot.
COMMON: Final[Mapping[str, str]] = {
    "adj": """quiet golden distant hollow silver broken gentle wild paper velvet crooked lonely
        electric hidden northern late second burning frozen little early restless painted lucky""",
    "noun": """river lantern harbour mirror garden engine window feather mountain orchard letter
        signal island shadow ladder carousel compass horse sparrow blanket corner station anchor
        kettle meadow tunnel satellite winter""",
    "first": """anna tom lena jack maria david ella james nora peter ruth sam clara henry ida leo
        martha owen rosa simon tess walter alice ben cora daniel edith frank grace hugo""",
    "last": """hartley brandt moss fielding lowe carver winslow archer hale quinn marlow decker
        whitlock sorensen abbott crane delaney ellwood garrick holt ingram jarvis kessler langley
        mercer norwood oakes pruitt rowan stanton tilley underhill voss wexler yates ziegler""",
    "place": """albany bergen tucson leeds malmo dresden dakota antwerp ohio galway oslo memphis
        lisbon hamburg detroit turin tampere calgary bristol austin krakow lyon osaka savannah""",
    "roman": "ii iii iv v vi vii viii ix x",
    "cjk": "夜 風 月 花 星 空 雨 鏡 海 森 電 音 時 光 雪 影 鉄 青",
}

# name: (patterns, the genre's own words, which replace the common ones of that slot)
GRAMMARS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "pop": (
        "{first} {last}|{adj} {noun}|{first} & the {noun}s|{noun} {noun}|{first} {noun}",
        {
            "adj": "sugar candy neon sweet bright cherry summer sunny glitter pink starlit lovely",
            "noun": """kiss heart crush parade lipstick holiday bubble dream ribbon diamond summer
                secret postcard sunset telephone mirror honey""",
            "first": """mandy kelly robbie jessie kylan danika tina ricky shayna gareth melanie
                bryan lisa ashlyn justine carla nick vanya""",
        },
    ),
    "dance": (
        "dj {noun}|{noun} {noun}|{first} {last}|{adj} {noun} project|{noun} feat. {first}|"
        "{noun} {number}|{adj} {noun}",
        {
            "adj": "euro laser turbo cosmic magic sonic hyper solar vocal atlantic disco infinite",
            "noun": """pulse vibe rush fever sensation delight motion energy ocean trance rhythm
                paradise club anthem mirage galaxy""",
            "number": "2000 3000 303 99 54 4 one zero unlimited",
        },
    ),
    "techno": (
        "{noun} {noun}|{last}|{first} {last}|{noun} {number}|{adj} {noun}|{noun}-{noun}",
        {
            "adj": "modular analog minimal magnetic static linear binary acid deep phased gated",
            "noun": """circuit oscillator vector relay module kontakt grid filter sequence diode
                matrix transistor funktion radar turbine raster signal""",
            "number": "01 303 808 909 707 12 47 x",
            "first": "jens sven ulrich klaus marco ricardo matthias ellen steffi juan kevin tobias",
            "last": """vogt brinkmann krämer lindqvist okuda moretti weiß jürgens hallberg köhler
                stein reuter falk dorn bauer saunders atkin""",
        },
    ),
    "idm": (
        "{noun}{suffix}|{noun} {suffix}|{noun}.{noun}|{adj} {noun}|{noun} of {noun}|µ{noun}",
        {
            "adj": "granular folded recursive clipped soft oblique decimal tiny parallel",
            "noun": """tri vektor squelch mellow axon pixel lumen kilo arpe glyph bocca ramp
                fenn orbit codec prism plume quark""",
            "suffix": "tek ix ware ology on 23 .exe oid ane esque um",
        },
    ),
    "ambient": (
        "{adj} {noun}|stars over the {noun}|{noun} & {noun}|{noun} of the {adj} {noun}|"
        "{first} {last}",
        {
            "adj": "still drifting endless weightless pale deep hushed glacial floating luminous",
            "noun": """lid horizon tide dusk snowfield aurora fog ocean breath stillness void lake
                vapour cloud glacier drift dawn""",
        },
    ),
    "classical": (
        "{first} {last}|{place} chamber orchestra|{last} quartet|{first} van {last}|"
        "{place} philharmonic {noun}|{adj} {noun}",
        {
            "adj": "royal baroque new early sacred old",
            "first": """johann franz ludvig antonín giacomo édouard modest clara frédéric jean-luc
                arvid henryk béla dmitri felix gustaf camille""",
            "last": """lindemann dvořan szymański rautala verdoni chabrol glazov hindemann palestri
                kodar schütze monteverro couperat telleman górski nielssen purcett""",
            "noun": "choir ensemble consort soloists players orchestra singers brass academy",
        },
    ),
    "jazz": (
        "{first} {last} trio|{first} {last}|the {last} quintet|{first} {last} & {first} {last}|"
        "{nick} {last}|{adj} {noun}",
        {
            "first": """thelonius miles art wayne chet ella lester esbjörn tomasz bill stan dexter
                nina carmen horace cedar bobo""",
            "nick": "cannon duke count bird fats prez lockjaw dizzy sonny pepper",
            "adj": "blue modal late cool hard new",
            "noun": "messengers quarter standards explorers unit horns workshop corner standard",
        },
    ),
    "soul": (
        "{first} {last}|the {adj} {noun}s|{first} & the {noun}s|{first} {noun}|{first} {roman}",
        {
            "first": """marvin aretta otis erykah d'andre alicia curtis roberta smokey bettye lauryn
                maxwell jill percy gladys donny""",
            "adj": "royal mighty soulful sweet sharp southern dramatic fabulous",
            "noun": "temptress stylist imperial shade whisper groove emotion teardrop delight",
        },
    ),
    "hip hop": (
        "mc {noun}|{adj} {noun}|dj {noun}|{nick} {noun}|lil' {noun}|{noun} clan|{nick}-{letter}|"
        "{noun} tha {noun}|{first} {last}",
        {
            "adj": "mad raw ill young dirty real iron hungry deadly smooth black jurassic",
            "noun": """scholar cipher razor verse prophet hustle mic block tongue chess concrete
                blaze kane method vinyl boogie ghost dolla$ kingpin breaks""",
            "nick": "big young dr. prodigal grand masta kool sir killa ghost pharo",
            "letter": "a b d g k m o q t x z",
        },
    ),
    "reggae": (
        "{first} {last}|{nick} {noun}|the {noun}s|{adj} {noun}|{first} & the {noun}s|"
        "{noun} sound system",
        {
            "adj": "burning culture wicked dub jah black natural zion steady",
            "noun": """lion rebel upsetter roots dread herald ethiopian warrior selector skank
                abyssinian riddim pioneer congo melodian""",
            "nick": "king prince jah lee mad ras sister papa U-",
            "first": "desmond toots winston augustus gregory lee beres marcia horace delroy",
        },
    ),
    "latin": (
        "{first} {last}|los {noun}|la {cosa}|{first} y los {noun}|{adj} {cosa}|"
        "{cosa} de {ciudad}|{first} {last} y su orquesta",
        {
            "adj": "gran dulce nueva vieja buena loca santa",
            "noun": """corazones tigres caballeros fabulosos ángeles amigos hermanos enanitos
                pájaros perdidos bárbaros locos reyes auténticos ladrones""",
            "cosa": """ley oreja luna quinta banda sonora maldita sombra raíz calle fiesta estación
                niña rosa orquesta mañana""",
            "ciudad": "habana méxico bogotá sevilla cádiz lima asunción pelotas cartagena",
            "first": """joaquín julieta andrés caetana enrique marisol chico juanita ricardo
                mercedes célia tomás rubén gilberto lucía""",
            "last": """cabral venegas sabines calamar drexel montes ramírez núñez buarte veloz
                fuentes guzmán peña córdoba ibáñez""",
        },
    ),
    "chanson": (
        "{first} {last}|les {noun}s|{cosa} {adj}|{first}-{first} {last}|la {cosa} {adj}|"
        "{last} & {last}",
        {
            "adj": "bleue légère étrange perdue ouverte douce brisée électrique",
            "noun": """rêveur têtard ogre voyou escargot papillon innocent négociant hurleur valet
                éléphant cowboy""",
            "cosa": """rue chambre lune fenêtre valse forêt grande mère tribu saison ruelle
                boîte histoire""",
            "first": """camille bénabert jacques françoise renaud émilie georges zazie vincent
                édith thomas benoît mathieu hélène léo""",
            "last": """dutronche brassac delermont ferrand garancier barbaret cabrette souchard
                biolet fersan forestan aubry girard lévêque""",
        },
    ),
    "blues": (
        "{nick} {first} {last}|{first} {last}|{nick} {noun} {last}|{first} {last} blues band|"
        "{place} {noun}|the {noun}s",
        {
            "nick": """blind big little mississippi slim howlin' lightnin' memphis sleepy muddy papa
                tampa peg leg""",
            "first": "willie john elmore hubert bessie buddy etta otis son skip robert albert koko",
            "noun": "rambler walker train crossroad bottleneck river hound juke shaker catfish",
        },
    ),
    "country": (
        "{first} {last}|{first} {first} {last}|the {place} {noun}s|{first} & the {noun}s|"
        "{adj} {noun}|the {last} brothers",
        {
            "adj": "dusty rusted honky dry lonesome whiskey southern dixie prairie",
            "noun": """rider wagon rambler cowboy highway saddle pickup outlaw troubadour barn
                sundown fiddle playboy""",
            "first": """hank dolly waylon patsy merle garth johnny loretta emmylou townes billy joe
                june kris tammy dwight carrie""",
        },
    ),
    "folk": (
        "{first} {last}|the {noun}s of {place}|{noun} & {noun}|the {last} family|{adj} {noun}|"
        "{first} of the {noun}s",
        {
            "adj": "mossy wandering greenwood old tall harvest whistling barley woven",
            "noun": """bramble loom shepherd heron thistle ballad fiddle willow crow hawthorn raven
                mariner byrne badger whaler lark""",
        },
    ),
    "singer-songwriter": (
        "{first} {last}|{first} {noun}|{first} {letter}. {last}|{noun} & {noun}|"
        "{first} {last} & the {adj} {noun}s",
        {
            "letter": "a b c d e f g h j k l m p r s t w",
            "first": """damian elliot cat nick josh regina ani beth ray suzanne tori iron aimee
                conor sufian jose laura rufus joanna lisa jens gisela glen""",
        },
    ),
    "indie pop": (
        "the {adj} {noun}s|{noun} & {noun}|{first} and the {noun}s|{adj} {noun}|i'm from {place}|"
        "{noun} {noun}|saturday {noun}s",
        {
            "adj": "polite clever lucky bashful knitted tiny pastel boy woollen wednesday sleepy",
            "noun": """cardigan bicycle librarian biscuit raincoat pencil marmalade typewriter acorn
                badminton teacup crayon penguin mitten postman scarf""",
        },
    ),
    "indie rock": (
        "the {noun}s|the {adj} {noun}s|{adj} {noun}|{noun} {noun}|{verb} the {noun}|"
        "{place} {noun}|we are {noun}s|wolf {noun}",
        {
            "adj": """modest arctic broken tokyo young cold war architectural neutral grizzly
                spooky animal yellow national vampire""",
            "noun": """wolf arcade stroke bishop parade monument ghost tower holiday hotel collar
                pavement scientist monkey furnace interpreter telescope lifter kid""",
            "verb": "clap follow against death to bury climb",
        },
    ),
    "post-rock": (
        "{verb} the {noun}|{verb} {prep} {noun}s|this {noun} will {verb} you|{adj} {noun}|"
        "the {noun} before the {noun}|{noun}s in the {noun}|…{verb}, {verb}!",
        {
            "adj": "collapsing silent exploding monumental slow invisible russian pelagic dim",
            "noun": """sky cathedral earthquake lighthouse army avalanche hemisphere cosmonaut
                telegram skyline whale static swarm emperor""",
            "verb": "mourn explain forget destroy watch outlive remember signal save become",
            "prep": "across beyond without under between against",
        },
    ),
    "alternative": (
        "{noun}|{adj} {noun}|{noun} {noun}|the {noun}s|{noun}garden|{number} {noun}s|{adj} {adj}",
        {
            "adj": """crashing blind stone collective placid muse third eye temple red hot loose
                violent nine sour hatching""",
            "noun": """pumpkin jar radio pilot chain garden cell porcelain needle chamber nail
                creature crow breeder reactor staple asylum""",
            "number": "three 30 311 seven nine forty twelve",
        },
    ),
    "classic rock": (
        "the {noun}s|{adj} {noun}|{first} {last}|{first} {last} band|{adj} {adj} {noun}|"
        "{noun} revival|the {first} {last} experience",
        {
            "adj": "deep iron grand purple crimson free bad jefferson electric grateful thin",
            "noun": """stone dirigible airship door company starship gypsy cavalier eagle traveller
                turner whistle rainbow foghorn caravan journeyman""",
        },
    ),
    "metal": (
        "{adj} {noun}|{noun}{suffix}|{noun} of {noun}|{noun} {noun}|the {adj} {noun}|{suomi}{noun}",
        {
            "adj": "iron black dark fallen blind nocturnal crimson heavy iced symphonic burning",
            "noun": """maiden throne hammer blade dragon reaper thunder chalice tyrant oath valkyrie
                fortress nightfall steel judas legion guardian""",
            "suffix": "gard wish force allica thrax heim bringer lord fall",
            "suomi": "teräs kuolema sota rauta pimeys yö talvi myrsky kalma",
        },
    ),
    "black metal": (
        "{norse}{norse2}|{noun} {noun}|{adj} {noun}|{norse} {norse2}|{noun} of the {adj} {noun}|"
        "{suomi}n {suomi2}",
        {
            "adj": "putrid cannibal unholy rotten infernal morbid dying necrotic obscene",
            "noun": """corpse crypt autopsy carcass entrails goat tomb plague sepulchre blasphemy
                torment funeral obituary maggot abyss dismemberment""",
            "norse": "dödens mörk svart blód ulver natt frost emper gorg hel skog grå bort vargr",
            "norse2": "riket gard heim stjärna troll gröt skygge vinter blót grav måne tåke hat",
            "suomi": "kuole taiva pimeyde suru helveti synni routa kaamokse",
            "suomi2": "huuto valtakunta sydän kansi tuli laulu äpärät hämärä",
        },
    ),
    "industrial": (
        "{noun} {number}|front {number}|{adj} {noun}|{noun}.{noun}|{deutsch} {noun}|:{noun}:|"
        "die {deutsch}n {deutsch2}|{noun} {noun}",
        {
            "adj": "grim skinny covenant cruel sterile schattenhaft android velvet bleeding",
            "noun": """asphalt machine puppy ministry assembly decoder solitude virus propaganda
                command icon dystopia cathode apparatus""",
            "number": "242 line zero 13 23 xx 2.0 84",
            "deutsch": "eiskalte tote schwarze müde neue süße verlorene",
            "deutsch2": "bauten maschinen straßen seelen körper stürme könige hände",
        },
    ),
    "punk": (
        "the {noun}s|{adj} {noun}s|{noun} on {noun}|{verb} {noun}|{number} {noun}s|"
        "the {adj} {noun}s|{first} {adj}|anti-{noun}",
        {
            "adj": "dead rotten bad toxic cheap stiff filthy flogging sullen dropkick rancid",
            "noun": """riot kennel gutter brat clash vandal misfit dropout kid curfew descendant
                pistol hydrant flag casualty guttersnipe circle strike""",
            "verb": "kick smash black refuse minor burn",
            "number": "7 999 88 10,000 two",
            "first": "sid johnny vic patti wendy poly rat joe",
        },
    ),
    "emo": (
        "{verb} {noun}|the {adj} {noun}|{day} {verb} {noun}|my {adj} {noun}|{noun} at {place}|"
        "dear {first}, {verb} me|{adj} {noun}",
        {
            "adj": "chemical used starting panicked early hopeless jealous last academic",
            "noun": """romance line november apology heartbeat goodbye yearbook midnight ambulance
                rooftop valentine funeral season promise diary""",
            "verb": "taking remember saving underneath falling leaving forgive miss",
            "day": "thursday sunday tuesday everyday someday",
        },
    ),
    "j-pop": (
        "{nihon} {nihon2}|{cjk}{cjk}{cjk}|{cjk}の{cjk}|{nihon2} {nihon}|{adj} {noun}|"
        "{cjk}{cjk} {nihon}|{nihon}☆{noun}",
        {
            "adj": "high maximum asian morning plastic perfume straight luna tokyo rainbow",
            "noun": "girl parade generation chocolate hormone rocket sensation carnival club tree",
            "nihon": """ayuko hikaru shiina utada yui mika ringo kumi yoko nana kyo aya namie
                maaya akira kaela tsubaki""",
            "nihon2": """hamada ueda sakamori kodo shimizu kurogane amuro nakashita hoshino mizuki
                arashiyama tsukino kawase otsuki""",
        },
    ),
}

# Quotes that are no quoting, signs that other tools give a meaning to, and other scripts.
ODD: Final = (
    '{first} "{noun}" {last}',
    '{noun} 7"',
    '"{adj}" {noun}',
    "{noun}/{noun}",
    "{adj} & {noun} & {first}",
    "rock'n'{noun}",
    "{noun}; {noun}, {noun}",
    "naïve {noun}",
    "großer {noun}",
    "¡{noun}!",
    "†{noun}†",
    "{cjk}{cjk}\u3000{cjk}",
    "=({noun})",
    "#{noun}",
    "\\{noun}\\",
    "{noun} ♥ {noun}",
    "'{noun}",
    "{noun} 100%",
    "$ {noun} $",
    "{cjk}{cjk} & {noun}",
)

# What a second act of the same name is told apart by.
TELL_APART: Final = (
    "{name} {noun}",
    "{adj} {name}",
    "{name} ({place})",
    "{name} {roman}",
    "{name} of {place}",
    "{name} & {first}",
    "{name} ({adj} {noun})",
    "{name} ({first} {last})",
)
