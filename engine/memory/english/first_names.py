"""First names that are mostly a woman's or a man's; where none is listed, the ending gives a weak hint."""

from __future__ import annotations

from .kinds import word_set

FEMALE_NAMES = word_set(
    """
    ada agnes alice alma amber amelia amy anna anne annie beatrice bella bess bessie beth betty bonnie bridget carla
    carol caroline cathy charlotte chloe clara clementine cleo coco daisy diana dolly dora doris dorothy edith edna
    eleanor elizabeth ella ellen elsa elsie emily emma esme eva eve evelyn fay fiona flora florence freya gemma ginger
    gina grace greta gwen hannah harriet hattie hazel heather heidi helen hettie holly honey ida iris isabel isabella
    isla ivy jane janet jasmine jenny jess jessica jill joan josie joy joyce judy julia julie juno kate katie kiki kim
    kitty lady laura leah lena lily linda lisa lola lottie lotte louise lucy lulu luna mabel maggie maisie mandy
    margaret maria marie martha mary matilda maud maya meg mia milly mimi mina minnie molly nadia nala nancy nell
    nellie nina nora olga olive olivia opal pam patsy pearl peggy penelope penny petra phoebe pia pippa polly poppy
    queenie rachel rita rosa rose rosie ruby ruth sadie sally sandra sara sarah sasha sheila sophia sophie stella sue
    susan susie suzy sylvia tabitha tess tessa tilda tilly trixie ursula vera victoria violet wanda wendy willow
    winnie yvonne zara zelda zoe zuri
    """
)
MALE_NAMES = word_set(
    """
    adam al alan albert alex alfie alfred andrew andy angus anton archie arnold arthur balthazar barnaby barney basil
    baxter ben benji benny bernard bert bill billy bob bobby boris bruce bruno buster carl casper cedric charles
    charlie chester chip clive colin cyril daniel danny dave david derek dexter diego dino dmitri donald duke duncan
    ed eddie edgar edmund edward elliot emil eric ernest ernie ethan felix ferdinand fergus finn francis frank franz
    fred freddie freddy fritz gareth gary gaston geoffrey george gerald gilbert giles gordon graham gregory gus hal
    hank hans harold harry harvey hector henry herbert herman horace howard hubert hugh hugo humphrey ian igor isaac
    ivan ivo jack jacob jake james jasper jed jeff jeremy jerome jim jimmy joe joey john jonas jonathan joseph julian
    julius karim karl keith ken kenneth kevin kurt lars larry leo leon leonard lewis liam lionel lloyd lou louis luke
    malcolm marco mark martin marvin max melvin michael mike miles milo monty morris murphy nathan ned neil neville
    nicholas nick nigel nils norman oliver ollie omar oscar oswald otis otto ozzy pablo paco pascal patrick paul percy
    pete peter philip pierre quentin ralph ray reginald remy rex richard rick robert rocky rodney roger roland rollo
    ron rory roy rudy rufus rupert rusty sam samuel scott sebastian sid sidney silas simon stan stanley stephen steve
    stuart sven ted teddy theo theodore thomas tim timmy timothy toby todd tom tommy tony victor vincent vlad wallace
    wally walter wesley wilbur wilfred will william winston yuri ziggy
    """
)


def sex_of_name(name: str) -> str | None:
    """ "she" for "Anna", "he" for "Peter", None where neither the list nor the ending "-a" says."""
    low = name.lower().split()[-1] if name else ""
    if low in FEMALE_NAMES:
        return "she"
    if low in MALE_NAMES:
        return "he"
    return "she" if low.endswith(("ella", "ina", "etta", "elle", "ette")) else None
