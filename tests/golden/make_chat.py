#!/usr/bin/env python3
"""Write chat.json: chat templates with what real ones use, and the prompts that transformers renders from them.

    python3 -m venv pt && pt/bin/pip install transformers jinja2
    pt/bin/python make_chat.py
"""
import json
import pathlib

from transformers.utils.chat_template_utils import render_jinja_template

TEMPLATES = {
    "turns in tags": """{% for message in messages %}<|im_start|>{{ message['role'] }}
{{ message['content'] }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}""",
    "a default system turn": """{%- if messages[0].role != 'system' %}
    {{- '<|system|>You help.' + eos_token + '\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if loop.first and message.role == "system" %}
        {{- '<|system|>' ~ message.content | trim ~ eos_token }}
    {%- else %}
        {{- '<|' + message.role + '|>' + message.content.strip() + eos_token + '\\n' }}
    {%- endif %}
{%- endfor %}
{{- '<|assistant|>' if add_generation_prompt }}""",
    "instructions in brackets": """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system = false %}{% endif %}
{{ bos_token }}
{% for message in loop_messages %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('turns must alternate') }}
    {% endif %}
    {% if loop.index0 == 0 and system != false %}
        {% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] %}
    {% else %}
        {% set content = message['content'] %}
    {% endif %}
    {% if message['role'] == 'user' %}
        {{ '[INST] ' + content.strip() + ' [/INST]' }}
    {% elif message['role'] == 'assistant' %}
        {{ ' ' + content.strip() + ' ' + eos_token }}
    {% endif %}
{% endfor %}""",
    "a namespace and python's methods": """{%- set ns = namespace(last=-1, seen=[]) -%}
{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set ns.last = loop.index0 -%}{%- endif -%}{%- endfor -%}
{{ bos_token }}{% for m in messages %}
{% set c = m.content %}
{% if '</think>' in c %}{% set c = c.split('</think>')[-1].lstrip('\\n') %}{% endif %}
{{ m.role.upper() }}{{ '*' if loop.index0 == ns.last else '' }}: {{ c.replace('a', 'A').rstrip() }}{{ ' .' if c.endswith('.') }}
{% endfor %}
{% if add_generation_prompt %}MODEL:{% endif %}""",
    "tests and filters": """{% for m in messages if m.content is string and m.content %}{{ loop.index }}/{{ loop.length }} {{ m.content | length }} {{ m.content | upper | replace(' ', '_') }} {{ m | tojson }}
{% else %}nothing{% endfor %}{{ tools is defined }} {{ tools is none }} {{ nothing is defined }} {{ messages | map(attribute='role') | join(',') }} {{ (messages | selectattr('role', 'equalto', 'user') | list) | length }}""",
    "json with and without indent": """{% set t = {'name': 'f', 'arguments': {'x': [1, 2.5, true, none], 'y': '<é & "q">'}} %}{{ t | tojson }}
{{ t | tojson(indent=4) }}
{% for key, value in t.items() %}{{ key }};{% endfor %}{{ t.get('name') }} {{ t.get('no', 'default') }}""",
    "marks for training": """{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}{% else %}{{ m.role }}: {{ m.content }}
{%- endif %}
{% endfor %}""",
    "loop controls": """{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{{ m.role }}|{% if loop.index > 2 %}{% break %}{% endif %}{% endfor %}""",
    "macros and whitespace": """{% macro turn(role, text='none') %}
    <{{ role }}>{{ text }}</{{ role }}>
{% endmacro %}
    {# a comment #}
  {% for m in messages %}
    {{ turn(m.role, m.content) }}
  {% endfor %}
{{ turn('end') -}}
""",
    "numbers": """{{ 7 // 2 }} {{ 7 % 4 }} {{ 2 ** 5 }} {{ 1 / 4 }} {{ messages | length > 1 and true }} {{ 'a' * 3 }} {{ [1, 2] + [3] }} {{ range(3) | list }} {{ 'x' in 'xyz' }}""",
}
CHATS = {
    "one": [dict(role="user", content="What is attention?")],
    "several": [
        dict(role="system", content=" Be brief. "), dict(role="user", content="Hi, <b>\"you\"</b> & é 你\n"),
        dict(role="assistant", content="<think>\nhm\n</think>\n\nHello.  "), dict(role="user", content=" And that's all.")],
}


def main():
    cases = []
    for name, template in TEMPLATES.items():
        for chat, messages in CHATS.items():
            prompts, _ = render_jinja_template(
                [messages], chat_template=template, add_generation_prompt=True, bos_token="<s>", eos_token="</s>")
            cases.append(dict(name=f"{name}, {chat}", template=template, messages=messages, prompt=prompts[0]))
    out = pathlib.Path(__file__).resolve().parent / "chat.json"
    out.write_text(json.dumps(cases, ensure_ascii=False, indent=0) + "\n")


if __name__ == "__main__":
    main()
