"""Two ways to use a page, which tests can exchange: a mouse, and a keyboard alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import FileChooser, Locator, Page, expect

IS_FOCUSED = "e => e === document.activeElement"
MARK = """e => { const s = getComputedStyle(e);
  return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2; }"""
FARTHEST = 400  # places between two controls


@dataclass
class Mouse:
    """Clicks, and types into fields. `acts`: clicks and filled fields so far."""

    page: Page
    acts: int = 0

    def press(self, control: Locator) -> None:
        self.acts += 1
        control.click()

    def follow(self, control: Locator) -> None:
        """Press a link or a button that leads to another page, and wait for that."""
        with self.page.expect_navigation():
            self.press(control)

    def fill(self, field: Locator, text: str) -> None:
        self.acts += 1
        field.fill(text)

    def choose(self, field: Locator, text: str) -> None:
        self.acts += 1
        field.select_option(label=text)

    def tick(self, box: Locator) -> None:
        self.acts += 1
        box.check()

    def pick_file(self, field: Locator, file: Path) -> None:
        with self.page.expect_file_chooser() as opened:
            self.press(field)
        self._give(opened.value, file)

    def _give(self, chooser: FileChooser, file: Path) -> None:
        chooser.set_files(file)


@dataclass
class Keyboard(Mouse):
    """Uses keys alone. A control counts only if Tab reaches it and its focus can be seen."""

    def press(self, control: Locator) -> None:
        self.acts += 1
        self._reach(control)
        is_box = control.evaluate("e => e.matches('input[type=file]')")
        self.page.keyboard.press("Space" if is_box else "Enter")

    def fill(self, field: Locator, text: str) -> None:
        self.acts += 1
        self._reach(field)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(text)

    def choose(self, field: Locator, text: str) -> None:
        self.acts += 1
        self._reach(field)
        self.page.keyboard.press("Home")
        chosen = field.locator("option:checked")
        for _ in range(field.locator("option").count()):
            if (chosen.text_content() or "").strip() == text:
                break
            self.page.keyboard.press("ArrowDown")
        expect(chosen).to_have_text(text)

    def tick(self, box: Locator) -> None:
        self.acts += 1
        self._reach(box)
        self.page.keyboard.press("Space")
        expect(box).to_be_checked()

    def _reach(self, control: Locator) -> None:
        expect(control).to_be_visible()
        for _ in range(FARTHEST):
            if control.evaluate(IS_FOCUSED):
                assert control.evaluate(MARK), f"the focus cannot be seen: {control}"
                expect(control).to_be_in_viewport()
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {control}")
