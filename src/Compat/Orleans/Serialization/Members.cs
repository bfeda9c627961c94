using System.Reflection;
using System.Reflection.Emit;

namespace Orleans.Serialization;

internal delegate TMember MemberGetter<T, TMember>(ref T instance);

internal delegate void MemberSetter<T, TMember>(ref T instance, TMember value);

/// <summary>The members of a type that travel, in the order of their tags.</summary>
internal sealed class MemberTable<T>
{
    private readonly Member<T>[] _members;

    public MemberTable(CodecProvider codecs) =>
        _members = [.. MemberLayout.Of(typeof(T)).Select(item => Create(codecs, item.Tag, item.Member))];

    public MemberTable(CodecProvider codecs, FieldInfo[] fields) =>
        _members = [.. fields.Select((field, index) => Create(codecs, (ulong)index + 1, field))];

    public bool AllImmutable => Array.TrueForAll(_members, member => member.IsImmutable);

    public void Write(Writer writer, ref T value)
    {
        foreach (Member<T> member in _members)
        {
            writer.Unsigned(member.Tag);
            member.Write(writer, ref value);
        }
        writer.Byte(0);
    }

    /// <summary>Members that are missing keep their initial values; the sender may be older.</summary>
    public void Read(Reader reader, ref T value)
    {
        int next = 0;
        while (reader.Unsigned() is not 0 and var tag)
        {
            while (next < _members.Length && _members[next].Tag < tag) next++;
            if (next == _members.Length || _members[next].Tag != tag) throw new SerializerException($"{typeof(T)} has no serialized member with tag {tag}.");
            _members[next++].Read(reader, ref value);
        }
    }

    public void Copy(ref T from, ref T to, CopyContext context)
    {
        foreach (Member<T> member in _members) member.Copy(ref from, ref to, context);
    }

    private static Member<T> Create(CodecProvider codecs, ulong tag, MemberInfo member)
    {
        Type type = member is FieldInfo field ? field.FieldType : ((PropertyInfo)member).PropertyType;
        bool immutable = member.IsDefined(typeof(ImmutableAttribute));
        return (Member<T>)Activator.CreateInstance(typeof(Member<,>).MakeGenericType(typeof(T), type), codecs, tag, member, immutable)!;
    }
}

/// <summary>One member that travels.</summary>
internal abstract class Member<T>(ulong tag)
{
    public ulong Tag { get; } = tag;

    public abstract bool IsImmutable { get; }

    public abstract void Write(Writer writer, ref T instance);

    public abstract void Read(Reader reader, ref T instance);

    public abstract void Copy(ref T from, ref T to, CopyContext context);
}

/// <inheritdoc/>
internal sealed class Member<T, TMember>(CodecProvider codecs, ulong tag, MemberInfo member, bool immutable) : Member<T>(tag)
{
    private readonly LazyCodec<TMember> _codec = new(codecs);
    private readonly MemberGetter<T, TMember> _get = Accessors.Getter<T, TMember>(member);
    private readonly MemberSetter<T, TMember> _set = Accessors.Setter<T, TMember>(member);

    public override bool IsImmutable => immutable || _codec.Value.IsImmutable;

    public override void Write(Writer writer, ref T instance) => _codec.Value.Write(writer, _get(ref instance));

    public override void Read(Reader reader, ref T instance) => _set(ref instance, _codec.Value.Read(reader));

    public override void Copy(ref T from, ref T to, CopyContext context)
    {
        TMember value = _get(ref from);
        _set(ref to, IsImmutable ? value : _codec.Value.Copy(value, context));
    }
}

/// <summary>Compiled access to members, whatever their visibility; properties without a setter are set through their field.</summary>
internal static class Accessors
{
    public static MemberGetter<T, TMember> Getter<T, TMember>(MemberInfo member)
    {
        var method = new DynamicMethod("get_" + member.Name, typeof(TMember), [typeof(T).MakeByRefType()], typeof(T), skipVisibility: true);
        ILGenerator il = method.GetILGenerator();
        LoadInstance(il, typeof(T));
        if (member is PropertyInfo { GetMethod: { } getter }) il.Emit(typeof(T).IsValueType ? OpCodes.Call : OpCodes.Callvirt, getter);
        else il.Emit(OpCodes.Ldfld, Field(member));
        il.Emit(OpCodes.Ret);
        return method.CreateDelegate<MemberGetter<T, TMember>>();
    }

    public static MemberSetter<T, TMember> Setter<T, TMember>(MemberInfo member)
    {
        var method = new DynamicMethod("set_" + member.Name, typeof(void), [typeof(T).MakeByRefType(), typeof(TMember)], typeof(T), skipVisibility: true);
        ILGenerator il = method.GetILGenerator();
        LoadInstance(il, typeof(T));
        il.Emit(OpCodes.Ldarg_1);
        if (member is PropertyInfo { SetMethod: { } setter }) il.Emit(typeof(T).IsValueType ? OpCodes.Call : OpCodes.Callvirt, setter);
        else il.Emit(OpCodes.Stfld, Field(member));
        il.Emit(OpCodes.Ret);
        return method.CreateDelegate<MemberSetter<T, TMember>>();
    }

    private static void LoadInstance(ILGenerator il, Type type)
    {
        il.Emit(OpCodes.Ldarg_0);
        if (!type.IsValueType) il.Emit(OpCodes.Ldind_Ref);
    }

    private static FieldInfo Field(MemberInfo member) => member as FieldInfo
        ?? member.DeclaringType!.GetField($"<{member.Name}>k__BackingField", BindingFlags.Instance | BindingFlags.NonPublic)
        ?? throw new CodecNotFoundException($"{member.DeclaringType}.{member.Name} has an Id but neither a setter nor a field of its own, so it cannot be set.");
}
