namespace Conclave.Model.Checkpoints;

/// <summary>Rotary position keys: the original <c>rope_theta</c> and <c>rope_scaling</c>, and <c>rope_parameters</c>, which newer files put in their place.</summary>
internal static class RopeParser
{
    private static readonly Dictionary<string, bool> IsYarn = new() { ["default"] = false, ["yarn"] = true };

    /// <summary><c>rope_theta</c>, from wherever it is written; 10000 by default.</summary>
    public static double Theta(ConfigSection section)
    {
        var parameters = section.Section("rope_parameters");
        var holder = parameters is not null && parameters.Has("rope_theta") ? parameters : section;
        var theta = holder.Number("rope_theta", 1.0001, 1e12, 10000);
        if (section.Has("rope_theta") && section.Number("rope_theta", 1.0001, 1e12) != theta)
            throw section.Wrong("rope_theta", "rope_parameters.rope_theta says otherwise: keep one of them");
        return theta;
    }

    /// <summary>The YaRN parameters in force, null without an extension.</summary>
    public static YarnScaling? Scaling(ConfigSection section, int maxPositions)
    {
        var older = section.Section("rope_scaling");
        var newer = section.Section("rope_parameters");
        var scaling = Read(newer ?? older);
        if (older is not null && newer is not null && Read(older) != scaling)
            throw section.Wrong("rope_scaling", "rope_parameters says otherwise: keep one of them");
        return scaling is not null && maxPositions > scaling.OriginalMaxPositions ? scaling : null;
    }

    private static YarnScaling? Read(ConfigSection? section)
    {
        if (section is null)
            return null;
        var key = section.Has("rope_type") ? "rope_type" : "type";
        if (!section.OneOf(key, IsYarn))
            return null;
        if (section.Has("rope_type") && section.Has("type") && !section.OneOf("type", IsYarn))
            throw section.Wrong("type", "rope_type says otherwise: keep one of them");
        if (section.Has("attention_factor"))
            throw section.Wrong("attention_factor", "it is not supported: the family sets mscale and mscale_all_dim instead");
        if (!section.Boolean("truncate", true))
            throw section.Wrong("truncate", "only true is supported: the family rounds the ends of the ramp to whole dimensions");
        var scaling = new YarnScaling(
            section.Number("factor", 1, 1e6),
            section.Integer("original_max_position_embeddings", 1, 1 << 27),
            section.Number("beta_fast", 1e-6, 1e6, 32),
            section.Number("beta_slow", 1e-6, 1e6, 1),
            section.Number("mscale", 0, 100, 1),
            section.Number("mscale_all_dim", 0, 100, 0));
        if (scaling.BetaFast < scaling.BetaSlow)
            throw section.Wrong("beta_fast", "it must not be below beta_slow");
        return scaling;
    }
}
