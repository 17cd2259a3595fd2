import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from acdc.bench.storyworld.train.dataset import LABELS, build_dataset, individual_traits, load_dataset, scene_labels
from acdc.bench.storyworld.world import templates
from acdc.bench.storyworld.world.grammar import SPLITS, StorySample, sample_story
from acdc.bench.storyworld.world.kinds import ACTIONS, ANIMALS, COATS, PROPS, SETTINGS, check_scene
from acdc.bench.storyworld.world.names import NAMES
from acdc.bench.storyworld.world.phrases import ACTION_PHRASES, WHOLE
from acdc.bench.storyworld.world.places import PLACES, SKY_DETAILS
from acdc.bench.storyworld.world.things import ABOVE, BESIDE, DIRECT, PROP_WORDS
from acdc.engine.examples import EXAMPLES
from acdc.engine.memory.rules import Rules

pytestmark = pytest.mark.training

STORIES = {split: [sample_story(seed, split) for seed in range(400)] for split in SPLITS}
SECOND = {split: [sample_story(seed, split, edition=2) for seed in range(200)] for split in SPLITS}
BOTH = [story for table in (STORIES, SECOND) for stories in table.values() for story in stories]
NIGHT = ("night", "moonlit", "moonlight", "starlit", "starlight", "starry", "the stars", "the moon", "moon")
SPLIT_TABLES = [
    templates.FIRST, templates.UNNAMED, templates.OWL_FIRST, templates.LATER, templates.MOVES, templates.OPENERS,
    templates.STARTS, templates.CLAUSES, templates.CLAUSES_FIRST, templates.REMARKS, templates.TRAITS,
    *templates.DAY_OPENERS.values(), *SKY_DETAILS.values(), BESIDE, ABOVE,
    *(place.details for place in PLACES.values()), *(place.adjectives for place in PLACES.values()),
]  # fmt: skip


def names_setting(sentence: str, setting: str) -> bool:
    place = PLACES[setting]
    return any(noun in sentence.lower() for noun in (place.noun, *place.others))


def test_templates_clauses_and_names_are_disjoint() -> None:
    for table in SPLIT_TABLES:
        assert not set(table["train"]) & set(table["heldout"])
    train, heldout = ({name for name, _ in NAMES[split]} for split in SPLITS)
    assert not train & heldout
    assert len(train) >= 60
    assert len(heldout) >= 25
    assert not train & {name.capitalize() for name in EXAMPLES}


def test_heldout_verb_phrases_are_never_trained_on() -> None:
    for table in (ACTION_PHRASES, DIRECT, WHOLE):
        for key in table["train"]:
            groups = [table[split][key] for split in SPLITS]
            train, heldout = (
                {p for phrases in g.values() for p in phrases} if isinstance(g, dict) else set(g) for g in groups
            )
            assert train
            assert heldout
            assert not train & heldout


def test_no_sentence_of_the_paper_is_trained_on() -> None:
    expected = {sentence for story in STORIES["train"] for sentence in story.sentences}
    assert not expected & {sentence for story in EXAMPLES.values() for sentence in story}


@pytest.mark.parametrize("split", SPLITS)
def test_deterministic_and_varied(split: str) -> None:
    assert [sample_story(seed, split) for seed in range(20)] == STORIES[split][:20]
    scenes = [scene for story in STORIES[split] for scene in story.scenes]
    assert {scene.who.animal for scene in scenes} == set(ANIMALS)
    assert {scene.setting for scene in scenes} == set(SETTINGS)
    assert {scene.action for scene in scenes} == set(ACTIONS)
    assert {scene.prop for scene in scenes} == set(PROPS)
    assert len({story.sentences for story in STORIES[split]}) == len(STORIES[split])


def test_individuals_and_layouts_are_disjoint() -> None:
    for attribute in ("who", "layout"):
        train, heldout = (
            {getattr(scene, attribute) for story in STORIES[split] for scene in story.scenes} for split in SPLITS
        )
        assert not train & heldout


def test_the_first_edition_stays_what_the_shipped_weights_learned() -> None:
    digest = hashlib.sha256()
    for split in SPLITS:
        for s in STORIES[split][:25]:
            scenes = [
                (c.who.animal, c.who.coat, c.who.build, c.who.tint, c.setting, c.time, c.layout, c.action, c.prop,
                 c.facing, c.x) for c in s.scenes
            ]  # fmt: skip
            digest.update(repr((s.sentences, s.name, scenes)).encode())
    assert digest.hexdigest().startswith("023dcf3d7ce23244")


def test_second_edition_shares_no_individual_and_names_no_coat() -> None:
    coats = {name for row in COATS.values() for name in (*row, "golden")}
    individuals = {
        (split, edition): {story.scenes[0].who for story in table[split]}
        for edition, table in ((1, STORIES), (2, SECOND))
        for split in SPLITS
    }
    groups = list(individuals.values())
    assert not any(a & b for i, a in enumerate(groups) for b in groups[i + 1 :])
    for story in (story for stories in SECOND.values() for story in stories):
        animal = story.scenes[0].who.animal
        for sentence in story.sentences:
            assert not re.search(rf"\b(?:{'|'.join(coats)}) {animal}", sentence), sentence


def test_text_tells_the_scenes() -> None:
    for story in BOTH:
        check_story(story)


def check_story(story: StorySample) -> None:
    first = story.scenes[0]
    assert first.who.animal in story.sentences[0]
    assert names_setting(story.sentences[0], first.setting)
    assert any(story.name in sentence for sentence in story.sentences[:2])
    night = any(word in story.sentences[0] for word in NIGHT)
    assert night == (first.time == "night"), story.sentences[0]
    for k, (sentence, scene) in enumerate(zip(story.sentences, story.scenes, strict=True)):
        check_scene(scene)
        assert "{" not in sentence
        assert "  " not in sentence
        assert ",," not in sentence
        assert sentence[0].isupper()
        assert (scene.who, scene.time) == (first.who, first.time)
        before = story.scenes[max(k - 1, 0)]
        assert (scene.setting == before.setting) == (scene.layout == before.layout)
        if scene.setting != before.setting:
            assert names_setting(sentence, scene.setting)
        seen = any(words in sentence for words in PROP_WORDS.get(scene.prop, ()))
        assert seen == (scene.prop != "none"), sentence


def test_refined_prompts_name_species_and_setting_early() -> None:
    for story in BOTH:
        for refined, scene in zip(Rules().refine_story(story.sentences), story.scenes, strict=True):
            head = " ".join(refined.split()[:16])
            assert scene.who.animal in head
            assert names_setting(head, scene.setting), refined


def test_some_settings_change_and_some_names_come_late() -> None:
    stories = STORIES["train"]
    changed = [len({scene.setting for scene in story.scenes}) for story in stories]
    late = [story.name not in story.sentences[0] for story in stories]
    assert 0.08 < np.mean(np.array(changed) == 2) < 0.22
    assert max(changed) == 2
    assert 0.03 < np.mean(late) < 0.14


@pytest.mark.parametrize(("seed", "split", "length"), [(0, "test", 6), (0, "train", 0), (-1, "train", 6)])
def test_bad_arguments(seed: int, split: str, length: int) -> None:
    with pytest.raises(ValueError, match=r"split|length"):
        sample_story(seed, split, length)


@pytest.mark.parametrize("length", [1, 2, 3, 9])
def test_any_length(length: int) -> None:
    assert len(sample_story(7, "train", length).scenes) == length


def test_dataset_round_trip(tmp_path: Path) -> None:
    build_dataset(tmp_path / "a", 3, "heldout", workers=1, first_seed=5, size=32)
    data = load_dataset(tmp_path / "a")
    story = sample_story(6, "heldout")
    assert data.frames.shape == (3, 6, 32, 32, 3)
    assert data.frames.dtype == np.uint8
    assert data.labels.shape == (3, 6, len(LABELS))
    assert data.labels[1].tolist() == [list(scene_labels(scene)) for scene in story.scenes]
    assert data.sentences[1] == list(story.sentences)
    assert data.refined[1] == Rules().refine_story(story.sentences)
    assert data.names[1] == story.name
    assert set(json.loads((tmp_path / "a" / "texts.json").read_text())) == {"sentences", "refined", "names"}
    assert not list((tmp_path / "a").glob("*.part"))
    individuals = np.load(tmp_path / "a" / "individuals.npy")
    np.testing.assert_allclose(individuals[1], individual_traits(story.scenes[0].who), rtol=1e-6)
    with pytest.raises(ValueError, match=r"missing frames\.npy"):
        load_dataset(tmp_path)
    with pytest.raises(ValueError, match="split"):
        build_dataset(tmp_path / "b", 3, "test")
    with pytest.raises(ValueError, match="edition"):
        build_dataset(tmp_path / "b", 3, edition=3)
