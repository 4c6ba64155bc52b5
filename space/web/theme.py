"""The look of the page: gradio's default theme, with enough contrast on a light and on a dark background."""

import gradio as gr

CSS = ".dark { --color-accent: var(--primary-400) !important; }"  # the theme has one accent for light and dark


def build_theme() -> gr.themes.Base:
    """Contrasts are at least 4.5 : 1 (WCAG 2.2, AA), which those of gradio's own orange are not."""
    theme = gr.themes.Default(primary_hue="blue", font="system-ui", font_mono="ui-monospace")
    button = {f"button_primary_background_fill{state}": "*primary_700" for state in ("", "_dark")}
    button |= {f"button_primary_background_fill_hover{state}": "*primary_800" for state in ("", "_dark")}
    return theme.set(
        **button,
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        color_accent="*primary_700",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_label_text_color="*neutral_700",
        block_title_text_color="*neutral_700",
    )
