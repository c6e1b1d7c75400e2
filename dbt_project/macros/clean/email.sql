{# The match key of an email address. Version 1: a change needs a full refresh.

   1. Unicode NFC, lower case; invisible characters and outer white space dropped.
   2. A `+tag` is dropped from the local part: every large provider delivers it to the same box.
   3. At Gmail dots in the local part do not count and googlemail.com is gmail.com.
   4. What is not shaped like an address gives NULL; nothing is repaired.
   `J.Doe+x@Gmail.com` gives `jdoe@gmail.com`. #}
{% macro email_match_key(email) -%}
    {%- set visible = replace_pattern(email, "^[\\s\\p{Z}\\p{Cf}]+|[\\s\\p{Z}\\p{Cf}]+$|\\p{Cf}") -%}
    {%- set address = compose_unicode("lower(" ~ visible ~ ")") -%}
    {%- set local = "split_part(split_part(" ~ address ~ ", '@', 1), '+', 1)" -%}
    {%- set domain = "split_part(" ~ address ~ ", '@', 2)" -%}
    case
        when not {{ matches_pattern(address,
            "^[^\\s\\p{Z}@+,;:<>()\"][^\\s\\p{Z}@,;:<>()\"]*@[\\p{L}\\p{N}-]+(\\.[\\p{L}\\p{N}-]+)+$") }}
            then null
        when {{ matches_pattern(address, "@(gmail|googlemail)\\.com$") }}
            then nullif(replace({{ local }}, '.', ''), '') || '@gmail.com'
        else {{ local }} || '@' || {{ domain }}
    end
{%- endmacro %}
